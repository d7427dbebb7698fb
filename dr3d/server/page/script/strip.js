/** The learned views of a model, in a row; each can be turned to. */

import { h, picture } from "./element.js";

/**
 * Makes a strip.
 *
 * @param {string[]} pictures addresses of the N views.
 * @param {function(number)} show turns to a view by its number.
 * @returns {Object} `element`; `mark(number)` tells which view is seen, 0 for
 *   none; `pair(number)` which one matched.
 */
export function createStrip(pictures, show) {
  const buttons = pictures.map((source, k) =>
    h(
      "button",
      {
        type: "button",
        class: "view",
        "aria-label": `Learned view ${k + 1}`,
        "aria-pressed": "false",
        onclick: () => show(k + 1),
      },
      picture(source, { size: 128 }),
      h("span", { class: "view-number", "aria-hidden": "true" }, k + 1),
    ),
  );
  const element = h(
    "div",
    { class: "views", role: "group", "aria-label": "Learned views" },
    buttons,
  );
  // Where they stand beside a viewer they fill a place of its shape.
  const columns = Math.ceil(Math.sqrt(1.4 * pictures.length)) || 1;
  element.style.setProperty("--columns", columns);
  return {
    element,
    mark(number) {
      buttons.forEach((button, k) =>
        button.setAttribute("aria-pressed", String(number === k + 1)),
      );
    },
    pair(number) {
      buttons.forEach((button, k) => {
        const paired = number === k + 1;
        const words = paired ? ", of the matching pair" : "";
        button.classList.toggle("paired", paired);
        button.setAttribute("aria-label", `Learned view ${k + 1}${words}`);
        if (!paired) return;
        const middle = button.offsetLeft + button.offsetWidth / 2;
        element.scrollLeft = middle - element.clientWidth / 2;
      });
    },
  };
}
