/** The learned views of a model, in a row of buttons. */

import { h, createImage } from "./element.js";

/**
 * Makes a strip.
 *
 * @param {string[]} images URLs of the N views.
 * @param {function(number)} show rotates to a view by its number.
 * @returns {Object} `element`; `mark(number)` highlights the current view, 0 for
 *   none; `pair(number)` the one that matched.
 */
export function createStrip(images, show) {
  const buttons = images.map((source, k) =>
    h(
      "button",
      {
        type: "button",
        class: "view",
        "aria-label": `Learned view ${k + 1}`,
        "aria-pressed": "false",
        onclick: () => show(k + 1),
      },
      createImage(source, { size: 128 }),
      h("span", { class: "view-number", "aria-hidden": "true" }, k + 1),
    ),
  );
  const element = h(
    "div",
    { class: "views", role: "group", "aria-label": "Learned views" },
    buttons,
  );
  // Beside a single viewer they fill an area of the same shape.
  const columns = Math.ceil(Math.sqrt(1.4 * images.length)) || 1;
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
