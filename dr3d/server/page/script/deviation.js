/** The query laid on a match, coloured by how far it lies from it. */

import { colorAt, roundUp } from "./color_map.js";
import { h, replaceContent } from "./element.js";
import { measure } from "./format.js";
import { announce, failure, waiting } from "./notice.js";
import { createViewer } from "./viewer.js";

const MIN_TOP = 1e-3; // of the model's radius: less is rounding of the files
const COLORS = 9; // of the legend

/**
 * Makes the view.
 *
 * @param {import("./stage.js").Subject} match
 * @param {Object} options
 * @param {import("./pose.js").Pose} options.pose
 * @param {function(AbortSignal)} options.overlay requests the deviation.
 * @returns {Object} `element`, `free()`.
 */
export function createDeviation(match, { pose, overlay }) {
  const element = h("div", { class: "deviation" });
  const stop = new AbortController();
  let viewer = null;
  const load = () => {
    replaceContent(element, waiting("Laying the parts on one another"));
    overlay(stop.signal)
      .then((found) => {
        if (stop.signal.aborted) return;
        viewer = draw(element, match, found, pose);
      })
      .catch((error) => {
        if (error.name === "AbortError" || stop.signal.aborted) return;
        replaceContent(
          element,
          failure(error, "The parts cannot be compared", load),
        );
      });
  };
  load();
  return {
    element,
    free() {
      stop.abort();
      viewer?.free();
    },
  };
}

function draw(element, match, found, pose) {
  const radius = Math.max(...match.extent) / 2;
  const top = roundUp(Math.max(found.far, MIN_TOP * radius));
  const words = describe(found);
  const viewer = createViewer(
    {
      name: `the part on ${match.title}`,
      glb: match.glb,
      images: [],
      overlay: found,
      top,
    },
    { pose, viewpoints: null, changed() {} },
  );
  replaceContent(
    element,
    h("p", { class: "deviation-text" }, words),
    viewer.element,
    createLegend(top),
  );
  announce(words);
  return viewer;
}

function describe({ mean, far, scale, mirrored }) {
  // Coordinates are float32, so what is smaller means nothing.
  const least = 0.001; // mm
  const parts = [
    far < least
      ? `The part and the match are the same within ${least} mm.`
      : `The part lies ${measure(Math.max(mean, least))} mm from the match on ` +
        `average; 95\u202f% of its surface within ${measure(far)} mm.`,
  ];
  if (Math.abs(scale - 1) > 1e-6) {
    parts.push(
      "The sizes differ, so the part is drawn " +
        `${measure(scale)} times as large as it is.`,
    );
  }
  if (mirrored) parts.push("It is drawn mirrored, which fits better.");
  return parts.join(" ");
}

function createLegend(top) {
  const steps = Array.from({ length: COLORS }, (_, k) => {
    const step = h("span", {});
    step.style.setProperty("--color", colorAt(k / (COLORS - 1)));
    return step;
  });
  return h(
    "div",
    { class: "legend-bar" },
    h("span", {}, "0"),
    h("span", { class: "legend-colors", "aria-hidden": "true" }, steps),
    h("span", {}, `${measure(top)} mm or more`),
    h("span", { class: "muted" }, "pale: the match"),
  );
}
