/** The answer to a dropped file, or to a model of the database. */

import { findSimilar, getModel, query } from "./api.js";
import { createCard } from "./card.js";
import { createFilters, readFilters } from "./filter.js";
import { h, replaceContent } from "./element.js";
import { findFile } from "./file_store.js";
import { failure, notice, announce, waiting } from "./notice.js";
import { createProgress } from "./progress.js";
import { withParameters, navigate } from "./route.js";
import { matchSubject, querySubject, viewUrls } from "./subject.js";
import { createStage } from "./stage.js";
import { info, untilReady } from "./state.js";
import { createPrediction, summarize } from "./prediction.js";

const MAX_CACHED = 12; // answers
const answers = new Map();

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
    labels: [],
    gone: false,
  };
  const load = () => start(page).catch((error) => fail(page, error, load));
  load();
  return {
    update(next) {
      if (next.page !== route.page || next.name !== route.name) return false;
      if (!page.answer) return false;
      const isNewQuery = cacheKey(next) !== cacheKey(page.route);
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
    document.title = `dr3d: similar to ${route.name}`;
  }
  page.answer = await getAnswer(page, place);
  page.info = await info(); // the number of views is known by now
  if (page.gone) return;
  page.images =
    page.answer.shape?.views ?? viewUrls(route.name, page.info.views);
  draw(page);
  announce(summarize(page.answer));
}

/** The answer, from the cache or from the service. */
async function getAnswer(page, place) {
  const key = cacheKey(page.route);
  if (!answers.has(key)) {
    answers.set(key, await requestAnswer(page, place));
    for (const old of [...answers.keys()].slice(0, -MAX_CACHED))
      answers.delete(old);
  }
  return answers.get(key);
}

async function requestAnswer({ route, file, stop }, place) {
  const conditions = readFilters(route.parameters);
  if (!file) {
    await untilReady(stop.signal, () => {
      const words = "The service is warming up: the search starts by itself";
      replaceContent(place, waiting(words));
      announce(words);
    });
    return findSimilar(route.name, conditions, stop.signal);
  }
  const progress = createProgress(file, () => {
    stop.abort();
    navigate("#/");
  });
  replaceContent(place, progress.element);
  announce(`Sending ${file.name}`);
  try {
    await untilReady(stop.signal, progress.setWarming);
    return await query(file, conditions, {
      signal: stop.signal,
      progress: progress.setSent,
      waiting: progress.setWaiting,
    });
  } finally {
    progress.end();
  }
}

/** All that the answer depends on, as text. */
function cacheKey({ page, name, parameters }) {
  return JSON.stringify([page, name, readFilters(parameters)]);
}

function draw(page) {
  page.stage = createStage(
    querySubject(page.answer.shape, {
      name: nameOf(page),
      uploaded: Boolean(page.file),
      images: page.images,
    }),
    page.info.viewpoints,
  );
  page.prediction = h("div", { class: "prediction-place" });
  page.filters = h("div", {});
  page.cards = h("ol", { class: "cards", "aria-label": "Matches" });
  replaceContent(
    page.place,
    h("h1", { class: "visually-hidden" }, `Answer for ${nameOf(page)}`),
    h(
      "div",
      { class: "answer-head" },
      page.prediction,
      h("a", { class: "button", href: "#/" }, "New search"),
    ),
    page.stage.element,
    h("h2", { class: "matches-title" }, "Matches"),
    page.filters,
    page.cards,
  );
  drawMatches(page);
  openMatch(page, { move: false });
}

function drawMatches(page) {
  const { answer, route } = page;
  const labels = answer.matches.map(({ label }) => label);
  page.labels = [...new Set([...page.labels, ...labels])];
  const focus = document.activeElement?.dataset.key;
  replaceContent(
    page.prediction,
    createPrediction(answer, route, page.images.length),
  );
  replaceContent(
    page.filters,
    createFilters(route, {
      labels: page.labels,
      info: page.info,
      unitless: Boolean(page.file) && /assumed/.test(answer.shape?.unit ?? ""),
    }),
  );
  drawCards(page);
  if (focus) {
    page.filters.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }
}

function drawCards({ cards, answer, route, images }) {
  const opened = route.parameters.get("match");
  replaceContent(
    cards,
    answer.matches.map((match) =>
      createCard(match, { route, images, open: match.model === opened }),
    ),
  );
}

/** Queries again with other filters; the stage stays as it is. */
async function queryAgain(page) {
  page.stop.abort();
  page.stop = new AbortController();
  const { route } = page;
  page.cards.classList.add("stale");
  announce("Searching again");
  try {
    const answer = await getAnswer(page, h("div"));
    if (page.gone || page.route !== route) return;
    page.answer = answer;
    drawMatches(page);
    openMatch(page, { move: false });
    announce(summarize(answer));
  } catch (error) {
    if (error.name === "AbortError") return;
    replaceContent(
      page.cards,
      h(
        "li",
        { class: "full-width" },
        failure(error, "Search failed", () => queryAgain(page)),
      ),
    );
  } finally {
    page.cards.classList.remove("stale");
  }
}

/** Shows the match that the URL names beside the query, or none. */
async function openMatch(page, { move }) {
  const { route, answer, stage } = page;
  const name = route.parameters.get("match");
  const before = page.opened;
  page.opened = name;
  drawCards(page);
  if (!name) {
    stage.open(null);
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
  if (page.opened !== name) return;
  const pair = match.query_view && {
    query: match.query_view,
    match: match.view,
  };
  stage.open(
    matchSubject(match, page.info.views ?? 0),
    pair,
    createSteps(page, place),
  );
  if (!move) return;
  const head = stage.element.querySelector(".pane + .pane h2");
  head.setAttribute("tabindex", "-1");
  head.focus({ preventScroll: true });
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  stage.element.scrollIntoView({
    block: "nearest",
    behavior: reducedMotion ? "auto" : "smooth",
  });
}

/** Buttons for the previous match, the next match, and to close it. */
function createSteps({ route, answer }, place) {
  const step = (text, to) => {
    const match = place >= 0 && answer.matches[to];
    return match
      ? h(
          "a",
          {
            class: "button",
            href: withParameters(route, { match: match.model }),
          },
          text,
        )
      : h("span", { class: "button disabled", "aria-hidden": "true" }, text);
  };
  return [
    step("‹ Previous", place - 1),
    step("Next ›", place + 1),
    h(
      "a",
      {
        class: "button",
        href: withParameters(route, { match: "" }),
        id: "close-match",
      },
      "Close match",
    ),
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

function fail({ place, gone, file }, error, again) {
  if (gone || error.name === "AbortError") return;
  replaceContent(
    place,
    h("h1", { class: "visually-hidden" }, "Search failed"),
    failure(
      error,
      file && error.status >= 400 && error.status < 429
        ? "This file cannot be used"
        : "Search failed",
      again,
      h("a", { class: "button", href: "#/" }, "Choose another file"),
    ),
  );
}
