/** The predicted label, accepted or not. */

import { h } from "./element.js";
import { percent, plural } from "./format.js";
import { notice } from "./notice.js";
import { hasFilters, clearFilters } from "./filter.js";

/** The prediction in one sentence, for screen readers. */
export function summarize({ prediction, matches }) {
  if (!matches.length) return "No model meets the filters.";
  if (!prediction.accepted) {
    return `Not accepted. ${plural(matches.length, "match", "matches")} shown.`;
  }
  return (
    `Accepted: ${prediction.label}, ${percent(prediction.confidence)} of the ` +
    `votes. ${plural(matches.length, "match", "matches")} shown.`
  );
}

/** Why the prediction is not accepted. */
function explain({ label, confidence, reject_reason: reason }) {
  if (!label) return "No vote went to a model with a label.";
  const share = `${label} has ${percent(confidence)} of the votes`;
  if (reason === "unknown") {
    return (
      `${share}, but parts of unknown classes score as high: ` +
      "the database may lack this class."
    );
  }
  if (reason === "unverified") {
    return (
      `${share}, but the matches could not be compared with the query: ` +
      "search again."
    );
  }
  return `${share}, but models of other labels are nearly as similar.`;
}

/** The box with the prediction. */
export function createPrediction({ prediction, matches }, route, views) {
  if (!matches.length) {
    return notice(
      "warning",
      "No match",
      hasFilters(route.parameters)
        ? "No model meets these filters: clear them, or choose others."
        : "The database has no other model: add models first.",
      hasFilters(route.parameters) &&
        h("a", { class: "button", href: clearFilters(route) }, "Clear filters"),
    );
  }
  const share = percent(prediction.confidence);
  if (!prediction.accepted) {
    return notice(
      "warning",
      "Not accepted",
      `${explain(prediction)} Check the matches below before you use one.`,
    );
  }
  return h(
    "div",
    { class: "notice success prediction" },
    h("p", { class: "notice-title" }, prediction.label),
    h("p", {}, `Accepted, with ${share} of the votes of ${views} views`),
  );
}
