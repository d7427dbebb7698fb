/** A match as a card, and a model as a tile. */

import { address } from "./api.js";
import { breakable, h, picture } from "./element.js";
import { describeFit, extent, splitName } from "./format.js";
import { change, format } from "./route.js";

/**
 * Makes the card of a match.
 *
 * @param {Object} match of an answer.
 * @param {Object} answer
 * @param {import("./route.js").Route} answer.route of the answer.
 * @param {string[]} answer.pictures of the query's views.
 * @param {boolean} answer.open whether the match stands beside the query.
 */
export function createCard(match, { route, pictures, open }) {
  const [folder, file] = splitName(match.model);
  const views = pictures.length;
  const fit = describeFit(match);
  const pair = `Query view ${match.query_view} and model view ${match.view}`;
  return h(
    "li",
    { class: "card", "data-model": match.model },
    h(
      "a",
      {
        class: "card-face",
        href: change(route, { match: open ? "" : match.model }),
        "aria-current": open ? "true" : null,
        "aria-label": `Compare with match ${match.rank}, ${match.model}`,
      },
      picture(address.thumbnail(match.model), { size: 96 }),
      h("span", { class: "rank", "aria-hidden": "true" }, match.rank),
    ),
    h(
      "div",
      { class: "card-text" },
      h("p", { class: "label" }, breakable(match.label || "no label")),
      h(
        "h3",
        {},
        h("a", { href: format("model", match.model) }, breakable(file)),
        folder && h("span", { class: "folder" }, breakable(folder)),
      ),
      h("p", { class: "size" }, extent(match.extent)),
      fit && h("p", { class: match.same ? "fit" : "size" }, fit),
    ),
    h(
      "dl",
      { class: "measures" },
      gauge("Score", match.score.toFixed(3), match.score, 1),
      gauge("Votes", `${match.votes} of ${views}`, match.votes, views),
    ),
    match.query_view > 0 &&
      h(
        "figure",
        { class: "pair", title: pair },
        picture(pictures[match.query_view - 1] ?? "", { size: 64 }),
        picture(address.view(match.model, match.view), { size: 64 }),
        h(
          "figcaption",
          {},
          `Views ${match.query_view} and ${match.view} match best`,
        ),
      ),
    h(
      "div",
      { class: "actions" },
      h(
        "a",
        {
          class: "button",
          href: change(route, { match: open ? "" : match.model }),
          "data-do": "compare",
        },
        open ? "Close" : "Compare",
      ),
      h(
        "a",
        {
          class: "button",
          href: format("like", match.model),
          "aria-label": `Search again from ${match.model}`,
          "data-do": "search",
        },
        "Search from it",
      ),
    ),
  );
}

/** A number with a bar. */
function gauge(name, text, value, most) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  const share = Math.max(0, Math.min(1, value / (most || 1)));
  bar.style.setProperty("--share", share.toFixed(3));
  return h("div", {}, h("dt", {}, name), h("dd", {}, text, bar));
}

/** A model in a list. @param {...*} words below its name. */
export function createTile(model, ...words) {
  const [folder, file] = splitName(model.model);
  const failed = model.state === "failed";
  return h(
    "li",
    { class: "tile", "data-model": model.model },
    h(
      "a",
      { href: format("model", model.model), title: model.model },
      failed
        ? h("span", { class: "no-picture" }, "failed")
        : picture(address.thumbnail(model.model), { size: 96 }),
      h("span", { class: "label" }, breakable(model.label || "no label")),
      h("span", { class: "tile-name" }, breakable(file)),
      folder && h("span", { class: "folder" }, breakable(folder)),
    ),
    words,
  );
}
