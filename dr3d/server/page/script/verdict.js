/** The best match in plain words: very likely, please check, or not here. */

import { urls } from "./api.js";
import { createImage, h, insertBreaks } from "./element.js";
import {
  describeRegistration,
  describeScale,
  extent,
  likelihood,
  plural,
  SIMILAR_SIZE,
  toStem,
  toWords,
} from "./format.js";
import { clearFilters, hasFilters } from "./filter.js";
import { createColumns } from "./metadata.js";
import { notice } from "./notice.js";
import { format } from "./route.js";

/**
 * @typedef {Object} Verdict
 * @property {string} kind "likely", "check", "unknown" or "none".
 * @property {string} title
 * @property {string} reason one or two sentences.
 */

const TITLES = {
  likely: "Very likely",
  check: "Please check",
  unknown: "Not in this catalogue",
  none: "No match",
};

/** What an answer says of its best match. @returns {Verdict} */
export function judge({ prediction, matches }) {
  const best = matches[0];
  const make = (kind, reason) => ({ kind, title: TITLES[kind], reason });
  if (!best) return make("none", "");
  const label = toWords(prediction.label);
  const chance = label && likelihood(prediction.probability);
  const right = label ? `The class ${label} is right ${chance}` : "";
  if (prediction.reject_reason === "unknown") {
    return make(
      "unknown",
      "Parts that are missing here often look as similar as the nearest " +
        "part, which is shown.",
    );
  }
  if (prediction.reject_reason === "unverified") {
    return make(
      "check",
      "The matches could not be compared in detail: search again.",
    );
  }
  if (!label) {
    return best.same
      ? make("likely", "The surfaces of both are the same.")
      : make(
          "check",
          "The most similar parts of this catalogue have no class.",
        );
  }
  if (!prediction.accepted) {
    return make(
      "check",
      `${right}: parts of other classes look much the same.`,
    );
  }
  if (best.label !== prediction.label) {
    return make("check", `${right}, but the best match is of another.`);
  }
  if (best.mirrored) {
    return make("check", `${right}, but the best match is the mirror image.`);
  }
  if (best.scale && Math.abs(best.scale - 1) > SIMILAR_SIZE) {
    const size = describeScale(best.scale);
    return make("check", `${right}, but the best match is ${size}.`);
  }
  return make("likely", `${right}.`);
}

/** The verdict in one sentence, for screen readers. */
export function summarize(answer) {
  const { title } = judge(answer);
  if (!answer.matches.length) return "No model meets the filters.";
  const number = plural(answer.matches.length, "match", "matches");
  return `${title}: ${toStem(answer.matches[0].model)}. ${number} shown.`;
}

/**
 * The head of an answer: the query beside its best match.
 *
 * @param {Object} answer
 * @param {import("./route.js").Route} route
 * @param {Object} options
 * @param {string} options.picture URL of the query's picture.
 * @param {string} options.name of the query.
 * @param {string} options.own what the query is called.
 * @param {string[]} options.shown keys of the metadata to show.
 * @param {string} options.compare hash that shows both in 3D.
 */
export function createHeadline(
  answer,
  route,
  { picture, name, own, shown, compare },
) {
  const best = answer.matches[0];
  if (!best) return createNoMatch(route, answer.shape);
  const { kind, title, reason } = judge(answer);
  const same = describeRegistration(best);
  const sides = answer.shape?.extent;
  return h(
    "section",
    { class: `headline ${kind}`, "aria-label": "Best match" },
    h(
      "div",
      { class: "faces" },
      createFace(picture, own, name),
      h(
        "a",
        { href: compare, "data-do": "compare" },
        createFace(
          urls.picture(best.model),
          kind === "unknown" ? "Nearest part" : "Best match",
          best.model,
        ),
        h("span", { class: "compare" }, "Compare in 3D"),
      ),
    ),
    h(
      "div",
      { class: "headline-text" },
      h("p", { class: "verdict" }, title),
      ...describeModel(best, shown),
      h("p", { class: "reason" }, reason),
      h("p", { class: "sizes" }, [
        h("span", {}, extent(best.extent)),
        sides && h("span", {}, `${own}: ${extent(sides)}`),
        same && h("span", { class: best.same ? "same" : "" }, same),
      ]),
    ),
  );
}

function createFace(source, caption, name) {
  return h(
    "figure",
    { title: name },
    createImage(source, { size: 120, lazy: false }),
    h("figcaption", {}, caption),
  );
}

function createNoMatch(route, shape) {
  const narrow = hasFilters(route.parameters);
  const size =
    route.parameters.has("same_size") && shape
      ? ` The part measures ${extent(shape.extent)}.`
      : "";
  return notice(
    "warning",
    "No match",
    narrow
      ? `No model meets these filters: clear them, or choose others.${size}`
      : "The catalogue has no other model: add models first.",
    narrow &&
      h("a", { class: "button", href: clearFilters(route) }, "Clear filters"),
  );
}

/** Name with a link, class and chosen metadata of a match, as elements. */
export function describeModel(match, shown) {
  return [
    h(
      "h2",
      {},
      h(
        "a",
        { href: format("model", match.model), title: match.model },
        insertBreaks(toStem(match.model)),
      ),
    ),
    h("p", { class: "class" }, toWords(match.label)),
    createColumns(match.metadata, shown),
  ];
}
