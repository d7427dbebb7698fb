/** The query and a match in 3D: side by side, or laid on one another. */

import { insertBreaks, h, replaceContent } from "./element.js";
import { createDeviation } from "./deviation.js";
import { createPose } from "./pose.js";
import { invert, multiply, IDENTITY } from "./quaternion.js";
import { createStrip } from "./strip.js";
import { createViewer } from "./viewer.js";

/**
 * What a pane shows: a `viewer.Model` with texts.
 *
 * @typedef {Object} Subject
 * @property {string} role "Your part", "Match 2", …
 * @property {string} name
 * @property {string} title
 * @property {string[]} facts
 * @property {string} glb
 * @property {string[]} images
 * @property {HTMLElement[]} actions
 */

/**
 * Makes a stage.
 *
 * @param {Subject} query
 * @param {number[][]} viewpoints quaternions of the learned views, if known.
 * @returns {Object} `element`; `open(match, {pair, actions, overlay})` shows a
 *   match beside the query; `free()`.
 */
export function createStage(query, viewpoints) {
  const pose = createPose();
  const main = createPane(query, {
    pose,
    viewpoints,
    rescale: () => rescale(),
  });
  const tools = h("div", { class: "stage-tools" });
  const element = h(
    "section",
    { class: "stage single", "aria-label": "3D view" },
    main.element,
    tools,
  );
  let other = null;
  let deviation = null;
  let rotateTogether = true;
  let sameScale = false;

  /** Scales both models: to fill their panes, or to one common scale. */
  function rescale() {
    const panes = other ? [main, other] : [main];
    const radii = panes.map((pane) => pane.viewer.radius);
    const known = sameScale && radii.every((radius) => radius > 0);
    panes.forEach(({ viewer }, k) => {
      viewer.size = known ? radii[k] / Math.max(...radii) : 1;
      viewer.draw();
    });
  }

  function reset() {
    for (const pane of [main, other]) if (pane) pane.viewer.offset = IDENTITY;
    pose.reset();
  }

  function openDeviation(match, overlay) {
    deviation = createDeviation(match, { pose, overlay });
    element.classList.add("laid");
    element.prepend(deviation.element);
  }

  function closeDeviation() {
    deviation?.free();
    deviation?.element.remove();
    deviation = null;
    element.classList.remove("laid");
  }

  function fillTools(match, { actions, overlay }) {
    const rotating = toggle("Turn together", rotateTogether, (now) => {
      rotateTogether = now;
      other.viewer.independent = !now;
    });
    const scaling = toggle("Same scale", sameScale, (now) => {
      sameScale = now;
      rescale();
    });
    const laying = toggle("Show deviation", Boolean(deviation), (now) => {
      if (now) openDeviation(match, overlay);
      else closeDeviation();
      element.scrollIntoView({ block: "nearest" });
      rotating.hidden = scaling.hidden = now;
    });
    laying.title = "Lay the part on the match and colour it by its deviation";
    rotating.hidden = scaling.hidden = Boolean(deviation);
    replaceContent(
      tools,
      match && overlay && laying,
      match && [rotating, scaling],
      h("button", { type: "button", onclick: reset }, "Reset view"),
      actions,
    );
  }

  fillTools(null, {});
  return {
    element,
    open(match, { pair, actions, overlay }) {
      const wasLaid = Boolean(deviation);
      closeDeviation();
      other?.free();
      other?.element.remove();
      element.classList.remove("single");
      main.strip.pair(pair?.query ?? 0);
      other = createPane(
        { ...match, first: pair?.match },
        { pose, viewpoints, rescale },
      );
      other.viewer.independent = !rotateTogether;
      other.viewer.offset = align(viewpoints, pair);
      main.element.after(other.element);
      other.strip.pair(pair?.match ?? 0);
      if (wasLaid) openDeviation(match, overlay);
      fillTools(match, { actions, overlay });
      rescale();
      if (pair && main.viewer.isFlat) main.viewer.show(pair.query);
    },
    free() {
      closeDeviation();
      main.free();
      other?.free();
    },
  };
}

/** Aligns the view of a match with the view of the query that it matches. */
function align(viewpoints, pair) {
  const one = viewpoints?.[pair?.query - 1];
  const two = viewpoints?.[pair?.match - 1];
  return one && two ? multiply(invert(one), two) : IDENTITY;
}

function createPane(subject, { pose, viewpoints, rescale }) {
  let radius = 0;
  const viewer = createViewer(subject, {
    pose,
    viewpoints,
    changed() {
      strip.mark(viewer.view);
      if (radius !== viewer.radius) {
        radius = viewer.radius;
        rescale();
      }
    },
  });
  const strip = createStrip(subject.images, (number) => viewer.show(number));
  const element = h(
    "div",
    { class: "pane" },
    subject.title &&
      h(
        "div",
        { class: "pane-head" },
        h("span", { class: "role" }, subject.role),
        h("h2", { title: subject.name }, insertBreaks(subject.title)),
        h(
          "p",
          { class: "facts" },
          subject.facts.map((fact) => h("span", {}, fact)),
        ),
      ),
    viewer.element,
    subject.images.length > 0 &&
      h(
        "details",
        { class: "why strip" },
        h("summary", {}, `${subject.images.length} learned views`),
        strip.element,
      ),
    subject.actions?.length > 0 &&
      h("div", { class: "actions" }, subject.actions),
  );
  return { element, viewer, strip, free: () => viewer.free() };
}

/** A toggle button. */
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
