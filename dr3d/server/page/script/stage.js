/** The query in a viewer, beside its learned views or beside a match. */

import { breakable, h, refill } from "./element.js";
import { createPose } from "./pose.js";
import { invert, multiply, NONE } from "./quaternion.js";
import { createStrip } from "./strip.js";
import { createViewer } from "./viewer.js";

/**
 * One side: a `viewer.Subject` with words.
 *
 * @typedef {Object} Side
 * @property {string} role "Query", "Match 2", …
 * @property {string} name
 * @property {string} title
 * @property {string[]} facts
 * @property {string} glb
 * @property {string[]} pictures
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
  const main = createPane(query, { pose, viewpoints, weigh: () => weigh() });
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
    const panes = other ? [main, other] : [main];
    const radii = panes.map((pane) => pane.viewer.radius);
    const known = trueSize && radii.every((radius) => radius > 0);
    panes.forEach(({ viewer }, k) => {
      viewer.size = known ? radii[k] / Math.max(...radii) : 1;
      viewer.draw();
    });
  }

  function reset() {
    for (const pane of [main, other]) if (pane) pane.viewer.offset = NONE;
    pose.reset();
  }

  function fillTools(actions) {
    const turning = toggle("Turn together", together, (now) => {
      together = now;
      other.viewer.alone = !now;
    });
    turning.title = "Off: the match is turned alone";
    const sizing = toggle("True sizes", trueSize, (now) => {
      trueSize = now;
      weigh();
    });
    sizing.title = "Draw both in one scale";
    refill(
      tools,
      other && [turning, sizing],
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
      main.strip.pair(pair?.query ?? 0);
      if (match) {
        other = createPane(
          { ...match, first: pair?.match },
          { pose, viewpoints, weigh },
        );
        other.viewer.alone = !together;
        other.viewer.offset = align(viewpoints, pair);
        main.element.after(other.element);
        other.strip.pair(pair?.match ?? 0);
      }
      fillTools(actions);
      weigh();
      if (pair) main.viewer.show(pair.query);
    },
    free() {
      main.free();
      other?.free();
    },
  };
}

/** Turns a match so that its view of the pair lies as that of the query. */
function align(viewpoints, pair) {
  const one = viewpoints?.[pair?.query - 1];
  const two = viewpoints?.[pair?.match - 1];
  return one && two ? multiply(invert(one), two) : NONE;
}

function createPane(side, { pose, viewpoints, weigh }) {
  let radius = 0;
  const viewer = createViewer(side, {
    pose,
    viewpoints,
    changed() {
      strip.mark(viewer.view);
      if (radius !== viewer.radius) {
        radius = viewer.radius;
        weigh();
      }
    },
  });
  const strip = createStrip(side.pictures, (number) => viewer.show(number));
  const element = h(
    "div",
    { class: "pane" },
    h(
      "div",
      { class: "pane-head" },
      h("span", { class: "role" }, side.role),
      h("h2", { title: side.name }, breakable(side.title)),
      h(
        "p",
        { class: "facts" },
        side.facts.map((fact) => h("span", {}, fact)),
      ),
    ),
    viewer.element,
    h(
      "div",
      { class: "strip" },
      h(
        "p",
        { class: "faint" },
        `${side.pictures.length} learned views`,
        h("span", { class: "more" }, "; the model turns to the one you choose"),
      ),
      strip.element,
    ),
    side.actions?.length > 0 && h("div", { class: "actions" }, side.actions),
  );
  return { element, viewer, strip, free: () => viewer.free() };
}

/** A button that stays pressed. */
function toggle(text, pressed, change) {
  const button = h(
    "button",
    {
      type: "button",
      "aria-pressed": String(pressed),
    },
    text,
  );
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(now));
    change(now);
  });
  return button;
}
