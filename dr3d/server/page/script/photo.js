/** Photographs ask: the picture with a box to drag, the mask, the matches. */

import { queryPhotos, urls } from "./api.js";
import { createCrop } from "./crop.js";
import { createImage, h, insertBreaks, replaceContent } from "./element.js";
import { findFile } from "./file_store.js";
import { extent, plural, toStem, toWords } from "./format.js";
import { announce, failure, notice, waiting } from "./notice.js";
import { createProgress } from "./progress.js";
import { format, navigate, withParameters } from "./route.js";
import { info, untilReady } from "./state.js";
import { describeModel, judge, summarize } from "./verdict.js";

const SOURCES = {
  alpha: "its transparency",
  box: "your box",
  border: "the border of the picture",
};

/**
 * Shows the page; see `answer.showAnswer`.
 *
 * @param {HTMLElement} place
 * @param {import("./route.js").Route} route its parameters are `file`, the keys
 *   of up to eight pictures of one thing, and `region`, "x,y,width,height".
 */
export function showPhoto(place, route) {
  document.title = "dr3d: photograph";
  const page = { place, route, gone: false, stop: new AbortController() };
  start(page).catch((error) => fail(page, page.place, error));
  return {
    update(next) {
      const keys = (one) => one.parameters.getAll("file").join();
      if (!page.answered || keys(next) !== keys(page.route)) return false;
      page.route = next;
      search(page);
      return true;
    },
    leave() {
      page.gone = true;
      page.stop.abort();
      for (const url of page.shown ?? []) URL.revokeObjectURL(url);
    },
  };
}

async function start(page) {
  const { place, route } = page;
  const keys = route.parameters.getAll("file");
  replaceContent(place, waiting("Contacting the service"));
  page.info = await info();
  const files = await Promise.all(keys.map(findFile));
  if (page.gone) return;
  if (!files.length || files.includes(null)) return showGone(place);
  page.files = files;
  page.shown = files.map((file) => URL.createObjectURL(file));
  page.answered = h("div", { class: "photo-answer" });
  replaceContent(
    place,
    h(
      "div",
      { class: "answer-head" },
      h(
        "h1",
        {},
        h("span", { class: "role" }, "Answer for"),
        " ",
        files.length > 1 ? plural(files.length, "photograph") : files[0].name,
      ),
      h(
        "p",
        { class: "actions" },
        h("a", { class: "button", href: "#/" }, "New search"),
      ),
    ),
    h("div", { class: "photo-page" }, createPictures(page), page.answered),
  );
  await search(page);
}

/** One picture with a box to drag, or several without. */
function createPictures(page) {
  if (page.files.length > 1) {
    return h(
      "div",
      { class: "photo-several" },
      page.shown.map((url, k) =>
        h("img", { src: url, alt: page.files[k].name, class: "photo-small" }),
      ),
    );
  }
  page.crop = createCrop(page.shown[0], {
    name: page.files[0].name,
    region: readRegion(page.route),
    choose: (region) =>
      navigate(withParameters(page.route, { region: region?.join() ?? "" })),
  });
  return page.crop.element;
}

function readRegion({ parameters }) {
  const parts = (parameters.get("region") ?? "").split(",").map(Number);
  return parts.length === 4 && parts.every(Number.isInteger) ? parts : null;
}

async function search(page) {
  page.stop.abort();
  page.stop = new AbortController();
  const { route, files, answered } = page;
  const { signal } = page.stop;
  page.crop?.setRegion(readRegion(route));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const name = files.map((file) => file.name).join(", ");
  const progress = createProgress({ name, size: total }, () => navigate("#/"));
  replaceContent(answered, progress.element);
  const region = route.parameters.get("region") ?? "";
  try {
    await untilReady(signal, progress.setWarming);
    const answer = await queryPhotos(files, files.length > 1 ? "" : region, {
      signal,
      progress: progress.setSent,
      waiting: progress.setWaiting,
    });
    if (page.gone || page.route !== route) return;
    drawAnswer(page, answer);
    announce(summarize(answer));
  } catch (error) {
    if (page.route === route) fail(page, answered, error);
  } finally {
    progress.end();
  }
}

function drawAnswer({ answered, info: { shown } }, answer) {
  const { kind, title, reason } = judge(answer);
  const best = answer.matches[0];
  replaceContent(
    answered,
    h(
      "section",
      { class: `headline ${kind}`, "aria-label": "Best match" },
      h(
        "div",
        { class: "faces" },
        answer.photographs.map(createSeen),
        best && createView(best, 120),
      ),
      h(
        "div",
        { class: "headline-text" },
        h("p", { class: "verdict" }, title),
        best && describeModel(best, shown),
        h("p", { class: "reason" }, reason),
        h(
          "p",
          { class: "muted" },
          "A photograph has no size, so size does not count.",
        ),
      ),
    ),
    h("h2", { class: "matches-title" }, "Matches"),
    h(
      "ol",
      { class: "cards", "aria-label": "Matches" },
      answer.matches.map(createMatch),
    ),
  );
}

/** The photograph, dark where the thing was not seen. */
function createSeen({ name, source, picture }) {
  const image = h("img", {
    src: picture,
    alt: `What was seen in ${name}; the rest is dark`,
    class: "mask",
    "data-source": source,
  });
  return h(
    "figure",
    { title: name },
    image,
    h("figcaption", {}, `Seen, by ${SOURCES[source]}`),
  );
}

function createView({ model, view }, size) {
  return h(
    "figure",
    { title: model },
    createImage(urls.photoView(model, view), { size, lazy: false }),
    h("figcaption", {}, "Best match, best view"),
  );
}

function createMatch(match) {
  const { model, label, rank, score, view } = match;
  const name = toStem(model);
  return h(
    "li",
    { class: "card", "data-model": model },
    h(
      "a",
      {
        class: "card-face",
        href: format("model", model),
        "aria-label": `Match ${rank}, ${name}`,
      },
      createImage(urls.photoView(model, view), { size: 96 }),
      h("span", { class: "rank", "aria-hidden": "true" }, rank),
    ),
    h(
      "div",
      { class: "card-text" },
      h(
        "h3",
        {},
        h("a", { href: format("model", model) }, insertBreaks(name)),
      ),
      h("p", { class: "class" }, toWords(label) || "no class"),
    ),
    h(
      "div",
      { class: "card-facts" },
      h("p", { class: "size" }, extent(match.extent)),
      h("p", { class: "size" }, `similarity ${score.toFixed(3)}`),
    ),
    h(
      "div",
      { class: "actions" },
      h(
        "a",
        {
          class: "button",
          href: format("like", model),
          "aria-label": `Find models similar to ${name}`,
        },
        "Find similar",
      ),
    ),
  );
}

function fail({ gone }, place, error) {
  if (gone || error.name === "AbortError") return;
  const isFile = [400, 413, 415, 422].includes(error.status);
  replaceContent(
    place,
    failure(
      error,
      isFile ? "This photograph cannot be searched" : "Search failed",
      null,
      h("a", { class: "button", href: "#/" }, "Choose another photograph"),
    ),
  );
}

function showGone(place) {
  replaceContent(
    place,
    h("h1", { class: "visually-hidden" }, "The photograph is gone"),
    notice(
      "warning",
      "The photograph is gone",
      "This browser stores only the latest files: choose it again.",
      h("a", { class: "button primary", href: "#/" }, "New search"),
    ),
  );
}
