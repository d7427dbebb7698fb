/** Counts of the database, failed files, labels and limits. */

import { getFailures, showColumns } from "./api.js";
import { createChangeButton, mayChange } from "./edit.js";
import { h, replaceContent } from "./element.js";
import { createMap } from "./embedding_map.js";
import { bytes, count, toTitle, toWords } from "./format.js";
import { announce, failure, waiting } from "./notice.js";
import { format } from "./route.js";
import { forget, info, STATES } from "./state.js";
import { forgetToken, readToken } from "./token.js";

/** Shows the page; see `answer.showAnswer`. */
export function showDatabase(place, route, { again }) {
  document.title = "dr3d: database";
  replaceContent(place, h("h1", {}, "Database"), waiting("Loading"));
  const page = { gone: false };
  forget();
  Promise.all([info(), getFailures()])
    .then(([known, { failures }]) => {
      if (!page.gone) draw(place, known, failures);
    })
    .catch((error) => {
      if (page.gone) return;
      replaceContent(
        place,
        h("h1", {}, "Database"),
        failure(error, "The database cannot be shown", again),
      );
    });
  return {
    update: () => false,
    leave() {
      page.gone = true;
    },
  };
}

function draw(place, known, failures) {
  const maximum = Math.max(1, ...known.labels.map((one) => one.count));
  replaceContent(
    place,
    h("h1", {}, known.name ? `Database ${known.name}` : "Database"),
    h(
      "ul",
      { class: "counts" },
      Object.entries(STATES).map(([state, meaning]) =>
        h(
          "li",
          { "data-state": known.counts[state] ? state : "none" },
          h(
            "a",
            { href: format("models", "", { state }) },
            h("span", { class: "figure" }, count(known.counts[state])),
            h("span", {}, toTitle(meaning)),
          ),
        ),
      ),
    ),
    h("h2", {}, "Files that could not be read"),
    failures.length
      ? [
          h(
            "p",
            { class: "muted" },
            "Repair each file, then index the folder or add the file again.",
          ),
          h(
            "ul",
            { class: "failures" },
            failures.map(({ model, reason }) =>
              h(
                "li",
                {},
                h("a", { href: format("model", model) }, model),
                h("span", {}, reason),
              ),
            ),
          ),
        ]
      : h("p", {}, "None: every file was read."),
    known.columns.length > 0 && createChoice(known),
    h("h2", {}, "Classes"),
    h(
      "ul",
      { class: "labels" },
      known.labels.map(({ label, count: number }) => {
        const bar = h("span", { class: "bar", "aria-hidden": "true" });
        bar.style.setProperty("--share", (number / maximum).toFixed(3));
        return h(
          "li",
          {},
          h(
            "a",
            { href: format("models", "", { label }) },
            toWords(label) || "no class",
          ),
          h("span", { class: "number" }, count(number)),
          bar,
        );
      }),
    ),
    known.counts.indexed > 0 && createMap(),
    h("h2", {}, "Service"),
    h(
      "dl",
      { class: "facts-table" },
      [
        ["Version", known.version],
        ["Learned views of a model", known.views],
        ["Pipeline", known.pipeline],
        ["Colours", known.appearance && "are compared"],
        ["Formats", known.formats?.join(" ")],
        ["Upload limit", known.limits?.bytes && bytes(known.limits.bytes)],
        ["Face limit", known.limits?.faces && count(known.limits.faces)],
        [
          "Reading time limit",
          known.limits?.seconds && `${known.limits.seconds}\u202fs`,
        ],
        ["Changes", known.writable ? "with a token" : "not allowed"],
      ]
        .filter(([, value]) => value)
        .map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]),
    ),
    readToken() &&
      h(
        "p",
        { class: "actions wide" },
        h(
          "button",
          {
            type: "button",
            onclick() {
              forgetToken();
              location.reload();
            },
          },
          "Forget the token",
        ),
      ),
  );
}

/** Which properties are shown with each model; an order of choosing is kept. */
function createChoice(known) {
  const chosen = new Set(known.shown);
  const status = h("p", { role: "status", class: "muted" });
  const boxes = known.columns.map(({ name, total }) => {
    const box = h("input", {
      type: "checkbox",
      checked: chosen.has(name),
      disabled: !mayChange(known),
      onchange() {
        if (box.checked) chosen.add(name);
        else chosen.delete(name);
      },
    });
    return h(
      "li",
      {},
      h(
        "label",
        { class: "tick" },
        box,
        h("span", { class: "value" }, toTitle(name)),
        h("span", { class: "muted number" }, `${count(total)} values`),
      ),
    );
  });
  const save = async () => {
    try {
      await showColumns([...chosen]);
      forget();
      status.textContent = `Shown: ${[...chosen].join(", ") || "none"}.`;
      announce(status.textContent);
    } catch (error) {
      status.textContent = error.message;
    }
  };
  return [
    h("h2", {}, "Properties shown with each part"),
    h("ul", { class: "choices" }, boxes),
    mayChange(known)
      ? h("p", { class: "actions" }, createChangeButton(known, "Save", save))
      : null,
    status,
  ];
}
