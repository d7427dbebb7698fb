/** The answer to a dropped file, or to a model of the catalogue. */

import { getModel, overlayFile, overlayModel, urls } from "./api.js";
import { getAnswer, toKey } from "./answer_store.js";
import { createCard } from "./card.js";
import { createCsvButton } from "./csv.js";
import { createFilters } from "./filter.js";
import { h, replaceContent } from "./element.js";
import { findFile } from "./file_store.js";
import { splitName, toStem } from "./format.js";
import { failure, notice, announce, waiting } from "./notice.js";
import { createProgress } from "./progress.js";
import { withParameters, navigate } from "./route.js";
import { matchSubject, querySubject, viewUrls } from "./subject.js";
import { createStage } from "./stage.js";
import { info, untilReady } from "./state.js";
import { createHeadline, summarize } from "./verdict.js";
import { explainAnswer } from "./why.js";

/**
 * Shows the page of an answer.
 *
 * @param {HTMLElement} place
 * @param {import("./route.js").Route} route its page is "query" or "like".
 * @returns {Object} `update(route)`, true if the page could follow the route
 *   itself; `leave()`.
 */
export function showAnswer(place, route) {
  const page = {
    place,
    route,
    stop: new AbortController(),
    stage: null,
    gone: false,
  };
  const load = () => start(page).catch((error) => fail(page, error, load));
  load();
  return {
    update(next) {
      if (next.page !== route.page || next.name !== route.name) return false;
      if (!page.answer) return false;
      const isNewQuery = toKey(next) !== toKey(page.route);
      page.route = next;
      if (isNewQuery) queryAgain(page);
      else openMatch(page, { move: true });
      return true;
    },
    leave() {
      page.gone = true;
      page.stop.abort();
      page.stage?.free();
    },
  };
}

async function start(page) {
  const { place, route } = page;
  replaceContent(place, waiting("Contacting the service"));
  page.info = await info();
  if (page.gone) return;
  if (route.page === "query") {
    page.file = await findFile(route.name);
    if (page.gone) return;
    if (!page.file) return showFileGone(place);
    document.title = `dr3d: ${page.file.name}`;
  } else {
    document.title = `dr3d: similar to ${toStem(route.name)}`;
  }
  page.answer = await requestAnswer(page, place);
  page.info = await info(); // the number of views is known by now
  if (page.gone) return;
  page.images =
    page.answer.shape?.views ?? viewUrls(route.name, page.info.views);
  draw(page);
  announce(summarize(page.answer));
}

async function requestAnswer({ route, file, stop }, place) {
  if (!file) {
    await untilReady(stop.signal, () => {
      const words = "The service is warming up: the search starts by itself";
      replaceContent(place, waiting(words));
      announce(words);
    });
    return getAnswer(route, null, { signal: stop.signal });
  }
  const progress = createProgress(file, () => {
    stop.abort();
    navigate("#/");
  });
  replaceContent(place, progress.element);
  announce(`Sending ${file.name}`);
  try {
    await untilReady(stop.signal, progress.setWarming);
    return await getAnswer(route, file, {
      signal: stop.signal,
      progress: progress.setSent,
      waiting: progress.setWaiting,
    });
  } finally {
    progress.end();
  }
}

function draw(page) {
  page.headline = h("div", { class: "headline-place" });
  page.viewing = h("div", { class: "viewing" });
  page.filters = h("div", {});
  page.cards = h("ol", { class: "cards", "aria-label": "Matches" });
  const name = nameOf(page);
  replaceContent(
    page.place,
    h(
      "div",
      { class: "answer-head" },
      h(
        "h1",
        {},
        h("span", { class: "role" }, page.file ? "Answer for" : "Similar to"),
        " ",
        splitName(name)[1],
      ),
      h(
        "p",
        { class: "actions" },
        h("a", { class: "button", href: "#/" }, "New search"),
        createCsvButton(() => [page.answer], `${toStem(name)}-matches.csv`),
        h("button", { type: "button", onclick: () => print() }, "Print"),
      ),
    ),
    page.headline,
    page.viewing,
    h("h2", { class: "matches-title" }, "Matches"),
    page.filters,
    page.cards,
  );
  drawMatches(page);
  openMatch(page, { move: false });
}

function drawMatches(page) {
  const { answer, route } = page;
  const focus = document.activeElement?.dataset.key;
  drawHeadline(page);
  replaceContent(
    page.filters,
    createFilters(route, {
      info: page.info,
      unitless: Boolean(page.file) && /assumed/.test(answer.shape?.unit ?? ""),
    }),
  );
  drawCards(page);
  if (focus) {
    page.filters.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }
}

function drawHeadline(page) {
  const { answer, route } = page;
  const best = answer.matches[0]?.model ?? "";
  replaceContent(
    page.headline,
    createHeadline(answer, route, {
      picture: answer.shape?.picture ?? urls.picture(route.name),
      name: nameOf(page),
      own: page.file ? "Your part" : "This part",
      shown: page.info.shown,
      compare: withParameters(route, { match: best }),
    }),
    best && explainAnswer(answer, page.images.length),
  );
}

function drawCards({ cards, answer, route, images, info: { shown } }) {
  const opened = route.parameters.get("match");
  replaceContent(
    cards,
    answer.matches.map((match) =>
      createCard(match, { route, images, shown, open: match.model === opened }),
    ),
  );
}

/** Queries again with other filters; the old answer is not shown meanwhile. */
async function queryAgain(page) {
  page.stop.abort();
  page.stop = new AbortController();
  const { route } = page;
  closeStage(page);
  page.cards.hidden = true;
  replaceContent(page.headline, waiting("Searching again"));
  page.headline.scrollIntoView({ block: "nearest" });
  announce("Searching again");
  try {
    const answer = await getAnswer(route, page.file ?? null, {
      signal: page.stop.signal,
    });
    if (page.gone || page.route !== route) return;
    page.answer = answer;
    drawMatches(page);
    openMatch(page, { move: false });
    announce(summarize(answer));
  } catch (error) {
    if (error.name === "AbortError") return;
    replaceContent(
      page.headline,
      failure(error, "Search failed", () => queryAgain(page)),
    );
  } finally {
    page.cards.hidden = false;
  }
}

function closeStage(page) {
  page.stage?.free();
  page.stage = null;
  replaceContent(page.viewing);
}

/** Shows the match that the URL names beside the query, or none. */
async function openMatch(page, { move }) {
  const { route, answer } = page;
  const name = route.parameters.get("match");
  const before = page.opened;
  page.opened = name;
  drawCards(page);
  if (!name) {
    closeStage(page);
    if (move && before) focusCard(page, before);
    return;
  }
  const place = answer.matches.findIndex(({ model }) => model === name);
  let match = answer.matches[place];
  try {
    match ??= await getModel(name);
  } catch (error) {
    if (page.opened === name) announce(error.message);
    return;
  }
  if (page.opened !== name || page.gone) return;
  openStage(page);
  const pair = match.query_view && {
    query: match.query_view,
    match: match.view,
  };
  page.stage.open(matchSubject(match, page.info.views ?? 0), {
    pair,
    actions: createSteps(page, place),
    overlay: (signal) => requestOverlay(page, name, signal),
  });
  if (!move) return;
  const head = page.stage.element.querySelector(".pane + .pane h2");
  head?.setAttribute("tabindex", "-1");
  head?.focus({ preventScroll: true });
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  page.stage.element.scrollIntoView({
    block: "nearest",
    behavior: reducedMotion ? "auto" : "smooth",
  });
}

function openStage(page) {
  if (page.stage) return;
  page.stage = createStage(
    querySubject(page.answer.shape, {
      name: nameOf(page),
      uploaded: Boolean(page.file),
      images: page.images,
    }),
    page.info.viewpoints,
  );
  replaceContent(page.viewing, page.stage.element);
}

function requestOverlay({ file, route }, model, signal) {
  return file
    ? overlayFile(file, model, route.parameters.get("unit") ?? "", signal)
    : overlayModel(route.name, model, signal);
}

/** Buttons for the previous match, the next match, and to close it. */
function createSteps({ route, answer }, place) {
  const link = (text, match, id) =>
    h(
      "a",
      { class: "button", href: withParameters(route, { match }), id },
      text,
    );
  const step = (text, to) => {
    const match = place >= 0 && answer.matches[to];
    return match && link(text, match.model);
  };
  return [
    step("‹ Previous match", place - 1),
    step("Next match ›", place + 1),
    link("Close", "", "close-match"),
  ];
}

function focusCard(page, name) {
  const card = page.cards.querySelector(`[data-model="${CSS.escape(name)}"]`);
  card?.querySelector("[data-do=compare]").focus();
}

function nameOf({ file, route }) {
  return file ? file.name : route.name;
}

function showFileGone(place) {
  replaceContent(
    place,
    h("h1", { class: "visually-hidden" }, "The file is gone"),
    notice(
      "warning",
      "The file is gone",
      "This browser stores only the latest files: drop it again.",
      h("a", { class: "button primary", href: "#/" }, "New search"),
    ),
  );
}

// Of HTTP: there is nothing to search, the file is at fault.
const EMPTY = 409;
const FILE_ERRORS = [400, 413, 415, 422];

function fail({ place, gone, file }, error, again) {
  if (gone || error.name === "AbortError") return;
  const isFile = file && FILE_ERRORS.includes(error.status);
  const title = isFile
    ? "This file cannot be read"
    : error.status === EMPTY
      ? "The catalogue is empty"
      : "Search failed";
  // The same file would fail again.
  const retry = isFile || error.status === EMPTY ? null : again;
  replaceContent(
    place,
    h("h1", { class: "visually-hidden" }, title),
    failure(
      error,
      title,
      retry,
      h(
        "a",
        { class: "button", href: "#/" },
        file ? "Choose another file" : "New search",
      ),
    ),
  );
}
