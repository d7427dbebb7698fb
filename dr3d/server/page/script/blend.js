/** Shapes between a model and one that is similar to it, with a slider. */

import { fetchBlend, findSimilar, urls } from "./api.js";
import { createImage, h, insertBreaks, replaceContent } from "./element.js";
import { toStem } from "./format.js";
import { announce, failure, notice, waiting } from "./notice.js";
import { createPose } from "./pose.js";
import { createViewer } from "./viewer.js";

const OFFERED = 6; // similar models
const STEP = 10; // percent
const REST = 150; // milliseconds without a movement, after which a shape is asked for

/**
 * A section that shows shapes between a model and a similar one.
 *
 * Nothing is asked of the service before the user wants to see them.
 *
 * @param {string} name of the model.
 * @returns {Object} `element`; `leave()` frees what it holds.
 */
export function createBlend(name) {
  const page = { name, stop: new AbortController(), viewer: null, asked: 0 };
  page.place = h("div", { class: "blend-place" });
  page.element = h(
    "section",
    { class: "blend", "aria-labelledby": "blend-title" },
    h("h2", { id: "blend-title" }, "Shapes like this"),
    h(
      "p",
      { class: "muted" },
      "Rough shapes between this model and a similar one, as a network " +
        "imagines them. They are no parts of the catalogue.",
    ),
    page.place,
  );
  const start = h(
    "button",
    { type: "button", onclick: () => offer(page) },
    "Choose a similar model",
  );
  page.place.append(h("p", { class: "actions" }, start));
  page.leave = () => {
    page.stop.abort();
    clearTimeout(page.timer);
    page.viewer?.free();
  };
  return page;
}

/** Lists the most similar models, and opens the first. */
async function offer(page) {
  const { signal } = page.stop;
  replaceContent(page.place, waiting("Searching similar models"));
  announce("Searching similar models");
  try {
    // Not registered: only the names count.
    const conditions = { k: OFFERED, verify: 0, size: "ignore" };
    const { matches } = await findSimilar(page.name, conditions, signal);
    if (!signal.aborted) showChoice(page, matches);
  } catch (error) {
    if (signal.aborted) return;
    replaceContent(
      page.place,
      failure(error, "No similar model was found", () => offer(page)),
    );
  }
}

function showChoice(page, matches) {
  if (!matches.length) {
    replaceContent(
      page.place,
      notice("info", "No other model", "The catalogue has only this one."),
    );
    return;
  }
  const buttons = matches.map(({ model }) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        "data-model": model,
        title: model,
        onclick: () => choose(model),
      },
      createImage(urls.thumbnail(model), { size: 64 }),
      h("span", {}, insertBreaks(toStem(model))),
    ),
  );
  page.blended = h("div", { class: "blended" });
  replaceContent(
    page.place,
    h(
      "div",
      { class: "blend-models", role: "group", "aria-label": "Similar models" },
      buttons,
    ),
    page.blended,
  );
  function choose(model) {
    for (const button of buttons) {
      const pressed = String(button.dataset.model === model);
      button.setAttribute("aria-pressed", pressed);
    }
    open(page, model);
  }
  choose(matches[0].model);
  buttons[0].focus({ preventScroll: true });
}

/** Shows the slider between the model and another one. */
function open(page, other) {
  page.viewer?.free();
  page.viewer = null;
  page.pose = createPose();
  page.view = h("div", { class: "blend-view" });
  const [one, two] = [page.name, other].map(toStem);
  const words = h("output", { for: "blend-share" });
  const slider = h("input", {
    type: "range",
    id: "blend-share",
    min: 0,
    max: 100,
    step: STEP,
    value: 50,
  });
  const tell = () => {
    const share = Number(slider.value);
    words.textContent = `${100 - share} % ${one}, ${share} % ${two}`;
    slider.setAttribute("aria-valuetext", words.textContent);
    return share / 100;
  };
  slider.addEventListener("input", () => {
    const share = tell();
    clearTimeout(page.timer);
    page.timer = setTimeout(() => draw(page, other, share), REST);
  });
  replaceContent(
    page.blended,
    page.view,
    h(
      "div",
      { class: "blend-slider" },
      h("label", { for: "blend-share" }, "Share of the other model"),
      slider,
      words,
    ),
  );
  draw(page, other, tell());
}

/** Asks for a shape and shows it, unless another one was asked for since. */
async function draw(page, other, share) {
  const asked = ++page.asked;
  page.view.setAttribute("aria-busy", "true");
  if (!page.viewer) replaceContent(page.view, waiting("Making the shape"));
  try {
    const { signal } = page.stop;
    const bytes = await fetchBlend(page.name, other, share, signal);
    if (asked !== page.asked || page.stop.signal.aborted) return;
    show(page, other, bytes);
  } catch (error) {
    if (asked !== page.asked || page.stop.signal.aborted) return;
    page.viewer?.free();
    page.viewer = null;
    const again = () => draw(page, other, share);
    replaceContent(page.view, failure(error, "There is no shape here", again));
  }
  page.view.setAttribute("aria-busy", "false");
  page.view.dataset.share = share;
}

function show(page, other, bytes) {
  if (page.viewer?.element.dataset.drawn === "model") {
    page.viewer.replace(bytes);
    return;
  }
  page.viewer?.free();
  const name = `a shape between ${toStem(page.name)} and ${toStem(other)}`;
  page.viewer = createViewer(
    { name, bytes, images: [] },
    { pose: page.pose, changed() {} },
  );
  replaceContent(page.view, page.viewer.element);
}
