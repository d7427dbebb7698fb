/** Cards of matches and tiles of models. */

import { urls } from "./api.js";
import { insertBreaks, h, createImage } from "./element.js";
import { describeRegistration, extent, toStem, toWords } from "./format.js";
import { createColumns } from "./metadata.js";
import { withParameters, format } from "./route.js";
import { explainMatch } from "./why.js";

/**
 * Makes the card of a match.
 *
 * @param {Object} match of an answer.
 * @param {Object} answer
 * @param {import("./route.js").Route} answer.route of the answer.
 * @param {string[]} answer.images of the query's views.
 * @param {string[]} answer.shown keys of the metadata to show.
 * @param {boolean} answer.open whether the match is shown beside the query.
 */
export function createCard(match, { route, images, shown, open }) {
  const name = toStem(match.model);
  const registration = describeRegistration(match);
  const compare = withParameters(route, { match: open ? "" : match.model });
  return h(
    "li",
    { class: "card", "data-model": match.model },
    h(
      "a",
      {
        class: "card-face",
        href: compare,
        "aria-current": open ? "true" : null,
        "aria-label": `Compare with match ${match.rank}, ${name}`,
      },
      createImage(urls.thumbnail(match.model), { size: 96 }),
      h("span", { class: "rank", "aria-hidden": "true" }, match.rank),
    ),
    h(
      "div",
      { class: "card-text" },
      h(
        "h3",
        {},
        h(
          "a",
          { href: format("model", match.model), title: match.model },
          insertBreaks(name),
        ),
      ),
      h("p", { class: "class" }, toWords(match.label) || "no class"),
    ),
    h(
      "div",
      { class: "card-facts" },
      createColumns(match.metadata, shown),
      h("p", { class: "size" }, extent(match.extent)),
      registration &&
        h("p", { class: match.same ? "same" : "size" }, registration),
    ),
    h(
      "div",
      { class: "actions" },
      h(
        "a",
        {
          class: "button",
          href: compare,
          "data-do": "compare",
          "aria-label": `${open ? "Close" : "Compare"} ${name}`,
        },
        open ? "Close" : "Compare",
      ),
      h(
        "a",
        {
          class: "button",
          href: format("like", match.model),
          "aria-label": `Find models similar to ${name}`,
          "data-do": "search",
        },
        "Find similar",
      ),
    ),
    explainMatch(match, images),
  );
}

/**
 * A model in a list.
 *
 * @param {Object} model
 * @param {string[]} shown keys of the metadata to show.
 * @param {...*} details below it.
 */
export function createTile(model, shown, ...details) {
  const failed = model.state === "failed";
  return h(
    "li",
    { class: "tile", "data-model": model.model },
    h(
      "a",
      { href: format("model", model.model), title: model.model },
      failed
        ? h("span", { class: "no-image" }, "not readable")
        : createImage(urls.thumbnail(model.model), { size: 96 }),
      h("span", { class: "tile-name" }, insertBreaks(toStem(model.model))),
      h("span", { class: "class" }, toWords(model.label) || "no class"),
    ),
    createColumns(model.metadata, shown),
    details,
  );
}
