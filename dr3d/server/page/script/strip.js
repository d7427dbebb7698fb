/** The learned views of a model, in a row; one of them can be chosen. */

import { h, picture } from "./element.js";

/**
 * Makes a strip.
 *
 * @param {import("./pose.js").Pose} pose whose view is marked.
 * @param {string[]} pictures addresses of the N views.
 * @param {function(number)} leaf goes to a view by its number.
 * @returns {Object} `element`; `pair(number)` marks the view that matched, 0
 *   for none; `free()`.
 */
export function createStrip(pose, pictures, leaf) {
  const buttons = pictures.map((source, k) =>
    h(
      "button",
      {
        type: "button",
        class: "view",
        "aria-label": `Learned view ${k + 1}`,
        onclick: () => leaf(k + 1),
      },
      picture(source, { size: 128 }),
      h("span", { class: "view-number", "aria-hidden": "true" }, k + 1),
    ),
  );
  const draw = () =>
    buttons.forEach((button, k) =>
      button.setAttribute("aria-pressed", String(pose.view === k + 1)),
    );
  draw();
  return {
    element: h(
      "div",
      { class: "views", role: "group", "aria-label": "Learned views" },
      buttons,
    ),
    pair(number) {
      buttons.forEach((button, k) => {
        const paired = number === k + 1;
        button.classList.toggle("paired", paired);
        button.setAttribute(
          "aria-label",
          `Learned view ${k + 1}${paired ? ", of the matching pair" : ""}`,
        );
      });
    },
    free: pose.watch(draw),
  };
}
