/** The first page: drop a file, or choose a model of the database. */

import { createField } from "./drop.js";
import { h, replaceContent } from "./element.js";
import { plural } from "./format.js";
import { failure, waiting } from "./notice.js";
import { info } from "./state.js";
import { createSuggest } from "./suggest.js";

/**
 * Shows the page; see `answer.showAnswer`.
 *
 * @param {HTMLElement} place
 * @param {Object} options
 * @param {function(File[])} options.accept called with dropped files.
 * @param {function()} options.again shows the page again.
 * @param {string} options.problem with the former file, if any.
 */
export function showSearch(place, options) {
  const page = { gone: false };
  document.title = "dr3d: search";
  fill(page, place, options);
  return {
    update: () => true,
    leave() {
      page.gone = true;
    },
  };
}

async function fill(page, place, { accept, again, problem }) {
  replaceContent(place, waiting("Contacting the service"));
  let known;
  try {
    known = await info();
  } catch (error) {
    if (!page.gone)
      replaceContent(place, failure(error, "No connection", again));
    return;
  }
  if (page.gone) return;
  replaceContent(
    place,
    h(
      "div",
      { class: "start" },
      h("h1", {}, "What is this part?"),
      h(
        "p",
        { class: "intro" },
        "Drop a scan or a CAD export. dr3d renders it from " +
          `${known.views ?? "several"} learned views and finds the most ` +
          `similar of ${plural(known.counts.indexed, "model")}. The service ` +
          "does not keep your file.",
      ),
      problem && failure(new Error(problem), "This file cannot be used"),
      createField(known, accept),
      createSuggest(),
    ),
  );
}
