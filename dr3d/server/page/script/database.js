/** The state of the database, and the files that failed. */

import { getFailures } from "./api.js";
import { h, refill } from "./element.js";
import { bytes, count } from "./format.js";
import { failure, waiting } from "./notice.js";
import { format } from "./route.js";
import { forget, info } from "./state.js";

const MEANINGS = {
  indexed: "can be found",
  failed: "cannot become a model",
  missing: "file gone since",
  outdated: "of a former pipeline",
};

/** Shows the page; see `answer.showAnswer`. */
export function showDatabase(place, route, { again }) {
  document.title = "dr3d: database";
  refill(place, h("h1", {}, "Database"), waiting("Reading the catalogue"));
  const page = { gone: false };
  forget();
  Promise.all([info(), getFailures()])
    .then(([known, { failures }]) => {
      if (!page.gone) draw(place, known, failures);
    })
    .catch((error) => {
      if (page.gone) return;
      refill(place, h("h1", {}, "Database"), failure(error, "Not read", again));
    });
  return {
    update: () => false,
    leave() {
      page.gone = true;
    },
  };
}

function draw(place, known, failures) {
  const most = Math.max(1, ...known.labels.map((one) => one.count));
  refill(
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
            h("span", { class: "faint" }, meaning),
          ),
        ),
      ),
    ),
    h("h2", {}, "Files that failed"),
    failures.length
      ? [
          h(
            "p",
            { class: "faint" },
            "Mend each file, then index the folder or add the file again.",
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
      : h("p", {}, "None: every file became a model."),
    h("h2", {}, "Labels"),
    h(
      "ul",
      { class: "labels" },
      known.labels.map(({ label, count: number }) => {
        const bar = h("span", { class: "bar", "aria-hidden": "true" });
        bar.style.setProperty("--share", (number / most).toFixed(3));
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
        ["Views of a model", known.views],
        ["Pipeline", known.pipeline],
        ["Formats", known.formats?.join(" ")],
        ["Largest upload", known.limits?.bytes && bytes(known.limits.bytes)],
        ["Most faces", known.limits?.faces && count(known.limits.faces)],
        [
          "Longest reading",
          known.limits?.seconds && `${known.limits.seconds}\u202fs`,
        ],
        ["Models can be added", known.writable ? "with a token" : "no"],
      ]
        .filter(([, value]) => value)
        .map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]),
    ),
  );
}
