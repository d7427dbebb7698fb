/** Counts of the database, failed files, labels and limits. */

import { getFailures } from "./api.js";
import { h, replaceContent } from "./element.js";
import { bytes, count } from "./format.js";
import { failure, waiting } from "./notice.js";
import { format } from "./route.js";
import { forget, info } from "./state.js";

const MEANINGS = {
  indexed: "searchable",
  failed: "cannot be indexed",
  missing: "file not found any more",
  outdated: "from a former pipeline",
};

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
      Object.entries(MEANINGS).map(([state, meaning]) =>
        h(
          "li",
          { "data-state": known.counts[state] ? state : "none" },
          h(
            "a",
            { href: format("models", "", { state }) },
            h("span", { class: "figure" }, count(known.counts[state])),
            h("span", {}, state),
            h("span", { class: "muted" }, meaning),
          ),
        ),
      ),
    ),
    h("h2", {}, "Files that failed"),
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
      : h("p", {}, "None: every file was indexed."),
    h("h2", {}, "Labels"),
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
            label || "no label",
          ),
          h("span", { class: "number" }, count(number)),
          bar,
        );
      }),
    ),
    h("h2", {}, "Service"),
    h(
      "dl",
      { class: "facts-table" },
      [
        ["Version", known.version],
        ["Views per model", known.views],
        ["Pipeline", known.pipeline],
        ["Formats", known.formats?.join(" ")],
        ["Upload limit", known.limits?.bytes && bytes(known.limits.bytes)],
        ["Face limit", known.limits?.faces && count(known.limits.faces)],
        [
          "Reading time limit",
          known.limits?.seconds && `${known.limits.seconds}\u202fs`,
        ],
        ["Changes", known.writable ? "with the token" : "not allowed"],
      ]
        .filter(([, value]) => value)
        .map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]),
    ),
  );
}
