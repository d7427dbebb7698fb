/** The query in a viewer, beside its learned views or beside a match. */

import { h, refill } from "./element.js";
import { createPose } from "./pose.js";
import { invert, multiply, NONE } from "./quaternion.js";
import { createStrip } from "./strip.js";
import { createViewer } from "./viewer.js";

/**
 * @typedef {Object} Side
 * @property {string} role "Query", "Match 2", …
 * @property {string} name
 * @property {string} title
 * @property {string[]} facts
 * @property {string} glb address of the model.
 * @property {string[]} pictures addresses of its learned views.
 * @property {HTMLElement[]} actions
 */

/**
 * Makes a stage.
 *
 * @param {Side} query
 * @param {number[][]} viewpoints quaternions of the learned views, if known.
 * @returns {Object} `element`; `open(match, pair, actions)` shows a match
 *   beside the query, or none; `free()`.
 */
export function createStage(query, viewpoints) {
  const pose = createPose();
  const leaf = (number) => pose.show(number, viewpoints?.[number - 1]);
  const main = createPane(query, pose, leaf, () => weigh());
  const tools = h("div", { class: "stage-tools" });
  const element = h(
    "section",
    { class: "stage alone", "aria-label": "Viewer" },
    main.element,
    tools,
  );
  let other = null;
  let together = true;
  let trueSize = false;

  /** Gives both models their sizes: as large as the pane, or as they are. */
  function weigh() {
    const radii = [main.viewer.radius, other?.viewer.radius ?? 0];
    const known = trueSize && radii.every((radius) => radius > 0);
    [main, other].forEach((pane, k) => {
      if (!pane) return;
      pane.viewer.size = known ? radii[k] / Math.max(...radii) : 1;
      pane.viewer.draw();
    });
  }

  function toggle(text, pressed, change, title) {
    const button = h(
      "button",
      { type: "button", title, "aria-pressed": String(pressed) },
      text,
    );
    button.addEventListener("click", () => {
      const now = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(now));
      change(now);
    });
    return button;
  }

  function reset() {
    for (const pane of [main, other]) if (pane) pane.viewer.offset = NONE;
    pose.reset();
  }

  function fillTools(actions) {
    refill(
      tools,
      other && [
        toggle(
          "Turn together",
          together,
          (now) => {
            together = now;
            other.viewer.alone = !now;
          },
          "Off: the match is turned alone, to lay it as the query lies",
        ),
        toggle(
          "True sizes",
          trueSize,
          (now) => {
            trueSize = now;
            weigh();
          },
          "Draw both in one scale",
        ),
      ],
      h("button", { type: "button", onclick: reset }, "Reset view"),
      actions,
    );
  }

  fillTools();
  return {
    element,
    open(match, pair, actions) {
      other?.free();
      other?.element.remove();
      other = null;
      element.classList.toggle("alone", !match);
      main.strip.pair(match ? pair.query : 0);
      if (match) {
        other = createPane(match, pose, leaf, () => weigh());
        other.strip.pair(pair.match);
        other.viewer.alone = !together;
        other.viewer.offset = align(viewpoints, pair);
        main.element.after(other.element);
      }
      fillTools(actions);
      weigh();
      if (match && pair.query) leaf(pair.query);
    },
    free() {
      main.free();
      other?.free();
    },
  };
}

/** Turns a match so that its view of the pair lies as that of the query. */
function align(viewpoints, pair) {
  const one = viewpoints?.[pair.query - 1];
  const two = viewpoints?.[pair.match - 1];
  return one && two ? multiply(invert(one), two) : NONE;
}

function createPane(side, pose, leaf, loaded) {
  const viewer = createViewer(pose, { ...side, loaded }, leaf);
  const strip = createStrip(pose, side.pictures, leaf);
  const element = h(
    "div",
    { class: "pane" },
    h(
      "div",
      { class: "pane-head" },
      h("span", { class: "role" }, side.role),
      h("h2", { title: side.name }, side.title),
      h(
        "p",
        { class: "facts" },
        side.facts.map((fact) => h("span", {}, fact)),
      ),
    ),
    viewer.element,
    strip.element,
    side.actions && h("div", { class: "actions" }, side.actions),
  );
  return {
    element,
    viewer,
    strip,
    free() {
      viewer.gone = true;
      viewer.free();
      strip.free();
    },
  };
}
