/** The first page: drop files, or find a model by words. */

import { createCamera, createField } from "./drop.js";
import { h, replaceContent } from "./element.js";
import { plural } from "./format.js";
import { format } from "./route.js";
import { failure, notice, waiting } from "./notice.js";
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
      known.counts.indexed ? createIntro(known) : createEmpty(),
      problem && failure(new Error(problem), "This cannot be searched"),
      known.counts.indexed > 0 && [
        createField(known, accept),
        createCamera(accept),
        createSuggest(known.shown),
      ],
    ),
  );
}

function createIntro({ counts: { indexed } }) {
  return h(
    "p",
    { class: "intro" },
    "Drop a scan, a CAD file or a photograph to find the part, among " +
      `${plural(indexed, "part")}. The service does not keep your file.`,
  );
}

function createEmpty() {
  return notice(
    "info",
    "The catalogue is empty",
    "Add parts here, or index a folder with dr3d index.",
    h("a", { class: "button", href: format("models") }, "Add parts"),
  );
}
