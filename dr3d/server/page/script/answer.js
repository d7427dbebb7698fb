/** The answer to a dropped file, or to a known model. */

import { findSimilar, getModel, query } from "./api.js";
import { createCard } from "./card.js";
import { createFilters, readConditions } from "./condition.js";
import { h, refill } from "./element.js";
import { find } from "./keep.js";
import { failure, notice, tell, waiting } from "./notice.js";
import { createProgress } from "./progress.js";
import { change, go } from "./route.js";
import { describeMatch, describeQuery, listViews } from "./side.js";
import { createStage } from "./stage.js";
import { info, untilReady } from "./state.js";
import { createVerdict, summarize } from "./verdict.js";

const KEPT = 12; // answers that are shown again at once
const answers = new Map();

/**
 * Shows the page of an answer.
 *
 * @param {HTMLElement} place
 * @param {import("./route.js").Route} route its page is "query" or "like".
 * @returns {Object} `update(route)`, whether it has gone there by itself;
 *   `leave()`.
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
      const narrower = ask(next) !== ask(page.route);
      page.route = next;
      if (narrower) renew(page);
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
  refill(place, waiting("Asking the service"));
  page.info = await info();
  if (page.gone) return;
  if (route.page === "query") {
    page.file = await find(route.name);
    if (page.gone) return;
    if (!page.file) return showForgotten(place);
    document.title = `dr3d: ${page.file.name}`;
  } else {
    document.title = `dr3d: like ${route.name}`;
  }
  page.answer = await getAnswer(page, place);
  page.info = await info(); // N is known by now
  if (page.gone) return;
  page.pictures =
    page.answer.shape?.views ?? listViews(route.name, page.info.views);
  draw(page);
  tell(summarize(page.answer));
}

/** The answer, from before or from the service. */
async function getAnswer(page, place) {
  const key = ask(page.route);
  if (!answers.has(key)) {
    answers.set(key, await askService(page, place));
    for (const old of [...answers.keys()].slice(0, -KEPT)) answers.delete(old);
  }
  return answers.get(key);
}

async function askService({ route, file, stop }, place) {
  const conditions = readConditions(route.parameters);
  if (!file) {
    await untilReady(stop.signal, () => {
      const words = "The service is warming up: this goes on by itself";
      refill(place, waiting(words));
      tell(words);
    });
    return findSimilar(route.name, conditions, stop.signal);
  }
  const progress = createProgress(file, () => {
    stop.abort();
    go("#/");
  });
  refill(place, progress.element);
  tell(`Sending ${file.name}`);
  try {
    await untilReady(stop.signal, progress.warms);
    return await query(file, conditions, {
      signal: stop.signal,
      progress: progress.sent,
      waiting: progress.waits,
    });
  } finally {
    progress.end();
  }
}

/** What decides on the answer, as text. */
function ask({ page, name, parameters }) {
  return JSON.stringify([page, name, readConditions(parameters)]);
}

function draw(page) {
  page.stage = createStage(
    describeQuery(page.answer.shape, {
      name: nameOf(page),
      uploaded: Boolean(page.file),
      pictures: page.pictures,
    }),
    page.info.viewpoints,
  );
  page.verdict = h("div", { class: "verdict-place" });
  page.filters = h("div", {});
  page.cards = h("ol", { class: "cards", "aria-label": "Matches" });
  refill(
    page.place,
    h("h1", { class: "unseen" }, `Answer for ${nameOf(page)}`),
    h(
      "div",
      { class: "answer-head" },
      page.verdict,
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
  refill(page.verdict, createVerdict(answer, route, page.pictures.length));
  refill(
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

function drawCards({ cards, answer, route, pictures }) {
  const opened = route.parameters.get("match");
  refill(
    cards,
    answer.matches.map((match) =>
      createCard(match, { route, pictures, open: match.model === opened }),
    ),
  );
}

/** Asks again under other filters; the stage stays as it is. */
async function renew(page) {
  page.stop.abort();
  page.stop = new AbortController();
  const { route } = page;
  page.cards.classList.add("stale");
  tell("Searching again");
  try {
    const answer = await getAnswer(page, h("div"));
    if (page.gone || page.route !== route) return;
    page.answer = answer;
    drawMatches(page);
    openMatch(page, { move: false });
    tell(summarize(answer));
  } catch (error) {
    if (error.name === "AbortError") return;
    refill(
      page.cards,
      h(
        "li",
        { class: "whole" },
        failure(error, "Not answered", () => renew(page)),
      ),
    );
  } finally {
    page.cards.classList.remove("stale");
  }
}

/** Shows the match that the address names, or none, beside the query. */
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
    if (page.opened === name) tell(error.message);
    return;
  }
  if (page.opened !== name) return;
  const pair = match.query_view && {
    query: match.query_view,
    match: match.view,
  };
  stage.open(
    describeMatch(match, page.info.views ?? 0),
    pair,
    createSteps(page, place),
  );
  if (!move) return;
  const head = stage.element.querySelector(".pane + .pane h2");
  head.setAttribute("tabindex", "-1");
  head.focus({ preventScroll: true });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  stage.element.scrollIntoView({
    block: "nearest",
    behavior: still ? "auto" : "smooth",
  });
}

/** Buttons that lead to the match before and after, and back. */
function createSteps({ route, answer }, place) {
  const step = (text, to) => {
    const match = place >= 0 && answer.matches[to];
    return match
      ? h(
          "a",
          { class: "button", href: change(route, { match: match.model }) },
          text,
        )
      : h("span", { class: "button off", "aria-hidden": "true" }, text);
  };
  return [
    step("‹ Before", place - 1),
    step("Next ›", place + 1),
    h(
      "a",
      {
        class: "button",
        href: change(route, { match: "" }),
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

function showForgotten(place) {
  refill(
    place,
    h("h1", { class: "unseen" }, "The file is gone"),
    notice(
      "warning",
      "The file is gone",
      "This browser keeps the last files only: drop it once more.",
      h("a", { class: "button main", href: "#/" }, "New search"),
    ),
  );
}

function fail({ place, gone, file }, error, again) {
  if (gone || error.name === "AbortError") return;
  refill(
    place,
    h("h1", { class: "unseen" }, "No answer"),
    failure(
      error,
      file && error.status >= 400 && error.status < 429
        ? "This file cannot be used"
        : "No answer",
      again,
      h("a", { class: "button", href: "#/" }, "Choose another file"),
    ),
  );
}
