/** One model: a viewer, and its row of the catalogue. */

import { urls, getModel } from "./api.js";
import { h, replaceContent } from "./element.js";
import { count, extent, measure, splitName } from "./format.js";
import { failure, notice, waiting } from "./notice.js";
import { format } from "./route.js";
import { modelSubject } from "./subject.js";
import { createStage } from "./stage.js";
import { info } from "./state.js";

const ADVICE = {
  failed: "Repair the file, then index or add it again.",
  missing: "Its file was not found when the folder was last indexed.",
  outdated: "It was indexed for another pipeline: index the folder again.",
};

/** Shows the page; see `answer.showAnswer`. */
export function showModel(place, route, { again }) {
  const { name } = route;
  const page = { gone: false, stage: null };
  document.title = `dr3d: ${splitName(name)[1]}`;
  replaceContent(place, waiting("Loading"));
  fill(page, place, name).catch((error) => {
    if (page.gone) return;
    replaceContent(
      place,
      h("h1", {}, name),
      failure(error, "The model cannot be shown", again),
    );
  });
  return {
    update: () => false,
    leave() {
      page.gone = true;
      page.stage?.free();
    },
  };
}

async function fill(page, place, name) {
  const [known, model] = await Promise.all([info(), getModel(name)]);
  if (page.gone) return;
  const drawn = model.extent && model.state !== "failed";
  if (drawn) {
    const subject = modelSubject(model, known.views);
    page.stage = createStage(subject, known.viewpoints);
  }
  replaceContent(
    place,
    h("h1", { class: drawn ? "visually-hidden" : "" }, name),
    model.state !== "indexed" &&
      notice(
        model.state === "failed" ? "error" : "warning",
        model.state === "failed"
          ? "This file cannot be indexed"
          : `State: ${model.state}`,
        [model.reason, ADVICE[model.state]].filter(Boolean).join(" "),
      ),
    page.stage?.element,
    h(
      "p",
      { class: "actions wide" },
      model.state === "indexed" &&
        h(
          "a",
          { class: "button primary", href: format("like", name) },
          "Find similar models",
        ),
      model.state !== "missing" &&
        h(
          "a",
          { class: "button", href: urls.file(name), download: "" },
          "Original file",
        ),
      drawn &&
        h("a", { class: "button", href: urls.glb(name), download: "" }, "GLB"),
    ),
    createFacts(model),
  );
}

function createFacts(model) {
  const area = model.area && `${measure(model.area)} mm²`;
  const volume = model.volume && `${measure(model.volume)} mm³`;
  const rows = [
    ["Name", model.model],
    ["Label", model.label || "none"],
    ["State", model.state],
    ["True size", model.extent && extent(model.extent)],
    ["Unit of the file", model.unit],
    ["Surface area", area],
    ["Volume", volume],
    ["Bodies", model.body_count],
    ["Faces rendered", model.face_count && count(model.face_count)],
    ["Source", model.source],
    ...Object.entries(model.metadata ?? {}),
  ];
  return h(
    "dl",
    { class: "facts-table" },
    rows
      .filter(([, value]) => value)
      .map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]),
  );
}
