/** What the query is, by vote, or that nobody can tell. */

import { h } from "./element.js";
import { percent, plural } from "./format.js";
import { notice } from "./notice.js";
import { isNarrow, widen } from "./condition.js";

/** The verdict in one sentence, to be heard. */
export function summarize({ prediction, matches }) {
  if (!matches.length) return "No model meets the filters.";
  if (!prediction.accepted) {
    return `No reliable match. ${plural(matches.length, "model")} shown.`;
  }
  return (
    `${prediction.label}, ${percent(prediction.confidence)} of the votes. ` +
    `${matches.length} matches shown.`
  );
}

/** Why nobody can tell. */
function explain({ label, confidence, reject_reason: reason }) {
  if (!label) return "No vote went to a model with a label.";
  const share = `${label} has ${percent(confidence)} of the votes`;
  if (reason === "unknown") {
    return (
      `${share}, but models whose own label is missing come as near: ` +
      "this may be of a kind not known here."
    );
  }
  return `${share}, but models of other labels are nearly as near.`;
}

/** The box with the verdict. */
export function createVerdict({ prediction, matches }, route, views) {
  if (!matches.length) {
    return notice(
      "warning",
      "No match",
      isNarrow(route.parameters)
        ? "No model meets these filters: clear them, or choose others."
        : "The database holds no model to compare with: add some.",
      isNarrow(route.parameters) &&
        h("a", { class: "button", href: widen(route) }, "Clear filters"),
    );
  }
  const share = percent(prediction.confidence);
  if (!prediction.accepted) {
    return notice(
      "warning",
      "No reliable match",
      `${explain(prediction)} Below are the nearest models: ` +
        "look before you trust one of them.",
    );
  }
  return h(
    "div",
    { class: "notice good verdict" },
    h("p", { class: "notice-title" }, prediction.label),
    h("p", {}, `${share} of the votes of its ${views} views`),
  );
}
