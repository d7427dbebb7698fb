/** The first page: drop a file, or name a known model. */

import { createField } from "./drop.js";
import { h, refill } from "./element.js";
import { count } from "./format.js";
import { failure, waiting } from "./notice.js";
import { info } from "./state.js";
import { createSuggest } from "./suggest.js";

/**
 * Shows the page; see `answer.showAnswer`.
 *
 * @param {HTMLElement} place
 * @param {Object} options
 * @param {function(File[])} options.take what is dropped.
 * @param {function()} options.again shows the page anew.
 * @param {string} options.problem of the file before, if any.
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

async function fill(page, place, { take, again, problem }) {
  refill(place, waiting("Asking the service"));
  let known;
  try {
    known = await info();
  } catch (error) {
    if (!page.gone) refill(place, failure(error, "No connection", again));
    return;
  }
  if (page.gone) return;
  refill(
    place,
    h(
      "div",
      { class: "start" },
      h("h1", {}, "What is this part?"),
      h(
        "p",
        { class: "lead" },
        "Drop a scan, a sketch or a CAD export: dr3d looks at it from " +
          (known.views ? `${known.views} sides` : "several sides") +
          ` and finds the most similar of ${count(known.counts.indexed)} ` +
          "known models. The service keeps nothing of your file.",
      ),
      problem && failure(new Error(problem), "This file cannot be used"),
      createField(known, take),
      createSuggest(),
    ),
  );
}
