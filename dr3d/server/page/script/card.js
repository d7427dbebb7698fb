/** Cards of matches and tiles of models. */

import { urls } from "./api.js";
import { insertBreaks, h, createImage } from "./element.js";
import { describeRegistration, extent, splitName } from "./format.js";
import { withParameters, format } from "./route.js";

/**
 * Makes the card of a match.
 *
 * @param {Object} match of an answer.
 * @param {Object} answer
 * @param {import("./route.js").Route} answer.route of the answer.
 * @param {string[]} answer.images of the query's views.
 * @param {boolean} answer.open whether the match is shown beside the query.
 */
export function createCard(match, { route, images, open }) {
  const [folder, file] = splitName(match.model);
  const views = images.length;
  const registration = describeRegistration(match);
  const pair = `Query view ${match.query_view} and model view ${match.view}`;
  return h(
    "li",
    { class: "card", "data-model": match.model },
    h(
      "a",
      {
        class: "card-face",
        href: withParameters(route, { match: open ? "" : match.model }),
        "aria-current": open ? "true" : null,
        "aria-label": `Compare with match ${match.rank}, ${match.model}`,
      },
      createImage(urls.thumbnail(match.model), { size: 96 }),
      h("span", { class: "rank", "aria-hidden": "true" }, match.rank),
    ),
    h(
      "div",
      { class: "card-text" },
      h("p", { class: "label" }, insertBreaks(match.label || "no label")),
      h(
        "h3",
        {},
        h("a", { href: format("model", match.model) }, insertBreaks(file)),
        folder && h("span", { class: "folder" }, insertBreaks(folder)),
      ),
      h("p", { class: "size" }, extent(match.extent)),
      registration &&
        h("p", { class: match.same ? "same" : "size" }, registration),
    ),
    h(
      "dl",
      { class: "metrics" },
      gauge("Score", match.score.toFixed(3), match.score, 1),
      gauge("Votes", `${match.votes} of ${views}`, match.votes, views),
    ),
    match.query_view > 0 &&
      h(
        "figure",
        { class: "pair", title: pair },
        createImage(images[match.query_view - 1] ?? "", { size: 64 }),
        createImage(urls.view(match.model, match.view), { size: 64 }),
        h(
          "figcaption",
          {},
          `Most similar views: ${match.query_view} and ${match.view}`,
        ),
      ),
    h(
      "div",
      { class: "actions" },
      h(
        "a",
        {
          class: "button",
          href: withParameters(route, { match: open ? "" : match.model }),
          "data-do": "compare",
        },
        open ? "Close" : "Compare",
      ),
      h(
        "a",
        {
          class: "button",
          href: format("like", match.model),
          "aria-label": `Find models similar to ${match.model}`,
          "data-do": "search",
        },
        "Find similar",
      ),
    ),
  );
}

/** A number with a bar. */
function gauge(name, text, value, maximum) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const share = Math.max(0, Math.min(1, value / (maximum || 1)));
  bar.style.setProperty("--share", share.toFixed(3));
  return h("div", {}, h("dt", {}, name), h("dd", {}, text, bar));
}

/** A model in a list. @param {...*} details below its name. */
export function createTile(model, ...details) {
  const [folder, file] = splitName(model.model);
  const failed = model.state === "failed";
  return h(
    "li",
    { class: "tile", "data-model": model.model },
    h(
      "a",
      { href: format("model", model.model), title: model.model },
      failed
        ? h("span", { class: "no-image" }, "failed")
        : createImage(urls.thumbnail(model.model), { size: 96 }),
      h("span", { class: "label" }, insertBreaks(model.label || "no label")),
      h("span", { class: "tile-name" }, insertBreaks(file)),
      folder && h("span", { class: "folder" }, insertBreaks(folder)),
    ),
    details,
  );
}
