/** The evidence behind an answer, for those who ask why. */

import { urls } from "./api.js";
import { createImage, h } from "./element.js";
import { count, likelihood, percent, toStem, toWords } from "./format.js";

/** A closed box with evidence. */
export function createWhy(...content) {
  return h(
    "details",
    { class: "why" },
    h("summary", {}, "Why?"),
    h("div", { class: "why-text" }, content),
  );
}

/** Why the best match is what it is. */
export function explainAnswer({ prediction, shape }, views) {
  const label = toWords(prediction.label);
  return createWhy(
    h(
      "p",
      {},
      `The part was drawn from ${views} learned directions, with ` +
        `${count(shape?.face_count ?? 0)} triangles. Each image votes for the ` +
        "model whose image is most similar; some show only a part of it. The " +
        "best models were then laid on it, surface on surface.",
    ),
    h(
      "dl",
      { class: "metrics" },
      label || !prediction.model
        ? pair("Class with most votes", label || "none")
        : pair("Model with most votes", toStem(prediction.model)),
      pair("Its share of the votes", percent(prediction.confidence)),
      pair("It is right", likelihood(prediction.probability)),
      pair("Accepted", prediction.accepted ? "yes" : reasonOf(prediction)),
    ),
    h(
      "p",
      { class: "muted" },
      "The probability was measured on the models of this catalogue, each of " +
        "which searched among the others. It holds if the class of the part " +
        "is in the catalogue.",
    ),
  );
}

/** Why a model is a match. */
export function explainMatch(match, images) {
  const { score, votes, distance, query_view: from, view } = match;
  return createWhy(
    h(
      "dl",
      { class: "metrics" },
      gauge("Similarity", score.toFixed(3), score, 1),
      gauge("Votes", `${votes} of ${images.length}`, votes, images.length),
      typeof distance === "number" &&
        pair(
          "Distance of the surfaces",
          `${(100 * distance).toFixed(1)}\u202f% of the radius`,
        ),
    ),
    from > 0 &&
      h(
        "figure",
        { class: "pair" },
        createImage(images[from - 1] ?? "", { size: 64 }),
        createImage(urls.view(match.model, view), { size: 64 }),
        h(
          "figcaption",
          {},
          `The most similar pair of images: the part from direction ${from}, ` +
            `the model from direction ${view}`,
        ),
      ),
  );
}

function reasonOf({ reject_reason: reason }) {
  const words = {
    ambiguous: "no, models of other classes are nearly as similar",
    unknown: "no, parts of unknown classes come as near",
    unverified: "no, the surfaces could not be compared",
    unlabelled: "no, the models that were named have no class",
  };
  return words[reason] ?? "no";
}

function pair(term, value) {
  return h("div", {}, h("dt", {}, term), h("dd", {}, value));
}

/** A number with a bar. */
function gauge(name, text, value, maximum) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const share = Math.max(0, Math.min(1, value / (maximum || 1)));
  bar.style.setProperty("--share", share.toFixed(3));
  return h("div", {}, h("dt", {}, name), h("dd", {}, text, bar));
}
