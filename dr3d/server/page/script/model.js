/** One model: a viewer, and what is known of it. */

import { urls, getModel } from "./api.js";
import { createBlend } from "./blend.js";
import { createChangeButton, mayChange, openDelete, openEdit } from "./edit.js";
import { createDownload, h, insertBreaks, replaceContent } from "./element.js";
import {
  count,
  extent,
  measure,
  splitName,
  toStem,
  toTitle,
  toWords,
} from "./format.js";
import { createLocate } from "./locate.js";
import { failure, notice, waiting } from "./notice.js";
import { format, navigate } from "./route.js";
import { modelSubject } from "./subject.js";
import { createStage } from "./stage.js";
import { info, STATES } from "./state.js";
import { hasWebGL } from "./viewer.js";

const ADVICE = {
  failed: "Repair the file, then index or add it again.",
  missing: "Its file was not found when the folder was last indexed.",
  outdated: "It was indexed for another pipeline: index the folder again.",
};

/** Shows the page; see `answer.showAnswer`. */
export function showModel(place, route, { again }) {
  const { name } = route;
  const page = { gone: false, stage: null, again };
  document.title = `dr3d: ${toStem(name)}`;
  replaceContent(place, waiting("Loading"));
  fill(page, place, name).catch((error) => {
    if (page.gone) return;
    replaceContent(
      place,
      h("h1", {}, toStem(name)),
      failure(error, "The model cannot be shown", again),
    );
  });
  return {
    update: () => false,
    leave() {
      page.gone = true;
      page.stage?.free();
      page.locate?.leave();
      page.blend?.leave();
    },
  };
}

async function fill(page, place, name) {
  const [known, model] = await Promise.all([info(), getModel(name)]);
  if (page.gone) return;
  const drawn = model.extent && model.state !== "failed";
  if (drawn) {
    const subject = {
      ...modelSubject(model, known.views),
      role: "",
      title: "",
    };
    page.stage = createStage(subject, known.viewpoints);
    page.locate = createLocate(name);
    if (known.shapes && model.state === "indexed" && hasWebGL()) {
      page.blend = createBlend(name);
    }
  }
  replaceContent(
    place,
    h(
      "div",
      { class: "answer-head" },
      h("h1", {}, insertBreaks(toStem(name))),
      createActions(page, known, model),
    ),
    model.state !== "indexed" &&
      notice(
        model.state === "failed" ? "error" : "warning",
        toTitle(STATES[model.state]),
        [model.reason, ADVICE[model.state]].filter(Boolean).join(" "),
      ),
    h(
      "div",
      { class: drawn ? "model" : "" },
      page.stage?.element,
      createFacts(model, known, drawn),
    ),
    page.locate?.element,
    page.blend?.element,
  );
}

function createActions(page, known, model) {
  const name = model.model;
  return h(
    "p",
    { class: "actions" },
    model.state === "indexed" &&
      h(
        "a",
        { class: "button primary", href: format("like", name) },
        "Find similar parts",
      ),
    mayChange(known) && [
      createChangeButton(known, "Edit", () =>
        openEdit(model, known, page.again),
      ),
      createChangeButton(known, "Delete", () =>
        openDelete([name], () => navigate(format("models"))),
      ),
    ],
  );
}

function createFacts(model, known, drawn) {
  const name = model.model;
  const metadata = model.metadata ?? {};
  const others = Object.keys(metadata).filter(
    (key) => !known.shown.includes(key),
  );
  const rows = [
    ["Class", toWords(model.label) || "none"],
    ...[...known.shown, ...others].map((key) => [toTitle(key), metadata[key]]),
    ["Size", model.extent && extent(model.extent)],
    ["Surface area", model.area && `${measure(model.area)} mm²`],
    ["Volume", model.volume && `${measure(model.volume)} mm³`],
    ["File", name],
  ];
  const technical = [
    ["State", STATES[model.state]],
    ["Unit of the file", model.unit],
    ["Bodies", model.body_count],
    ["Triangles drawn", model.face_count && count(model.face_count)],
    ["Added", model.source === "added" ? "by itself" : "with its folder"],
    ["SHA-256 of the file", model.hash],
  ];
  return h(
    "div",
    { class: "facts-place" },
    createList(rows),
    h(
      "details",
      { class: "why" },
      h("summary", {}, "Technical details"),
      createList(technical),
    ),
    h(
      "p",
      { class: "actions" },
      model.state !== "missing" &&
        createDownload(urls.file(name), splitName(name)[1], "Original file"),
      drawn && createDownload(urls.glb(name), `${toStem(name)}.glb`, "GLB"),
    ),
  );
}

function createList(rows) {
  return h(
    "dl",
    { class: "facts-table" },
    rows
      .filter(([, value]) => value)
      .map(([term, value]) => [
        h("dt", {}, term),
        h("dd", {}, insertBreaks(String(value))),
      ]),
  );
}
