/** Filters of a search, stored in the URL. */

import { h, replaceContent } from "./element.js";
import { withParameters, navigate } from "./route.js";

const SIZES = [
  ["", "Any size"],
  ["0.02", "Same size, ± 2 %"],
  ["0.05", "Same size, ± 5 %"],
  ["0.2", "Same size, ± 20 %"],
];
const MATCH_COUNTS = ["10", "25", "50"];
const NAMES = ["label", "same_size", "unit", "k", "where"];
const MAX_CHIPS = 8; // labels with a button of their own

/** The parameters of a query that a URL contains. */
export function readFilters(parameters) {
  return Object.fromEntries(
    NAMES.map((name) => [
      name,
      name === "label" || name === "where"
        ? parameters.getAll(name).sort()
        : (parameters.get(name) ?? ""),
    ]),
  );
}

/** Whether a URL restricts which models are searched. */
export function hasFilters(parameters) {
  return ["label", "same_size", "where"].some((name) => parameters.has(name));
}

/** The URL of the same search among all models. */
export function clearFilters(route) {
  return withParameters(route, {
    label: [],
    same_size: "",
    where: [],
    match: "",
  });
}

/**
 * Makes the row of filters.
 *
 * @param {import("./route.js").Route} route
 * @param {Object} known
 * @param {string[]} known.labels that the answers have shown so far.
 * @param {Object} known.info of the service.
 * @param {boolean} known.unitless whether the file states no unit.
 */
export function createFilters(route, { labels, info, unitless }) {
  const conditions = readFilters(route.parameters);
  const set = (changes) =>
    navigate(withParameters(route, { ...changes, match: "" }));
  const chosen = conditions.label;
  const offered = [...new Set([...chosen, ...labels.filter(Boolean)])];
  const toggle = (label) =>
    chosen.includes(label)
      ? chosen.filter((one) => one !== label)
      : [...chosen, label];
  const others = info.labels
    .map(({ label }) => label)
    .filter((label) => label && !offered.slice(0, MAX_CHIPS).includes(label));
  const metadata = Object.entries(info.metadata ?? {}).flatMap(
    ([key, values]) => values.map((value) => `${key}=${value}`),
  );

  const form = h(
    "form",
    { class: "filters", "aria-label": "Filters" },
    h(
      "div",
      { class: "chips", role: "group", "aria-label": "Labels" },
      offered.slice(0, MAX_CHIPS).map((label) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-pressed": String(chosen.includes(label)),
            "data-key": `label ${label}`,
            onclick: () => set({ label: toggle(label) }),
          },
          label,
        ),
      ),
      others.length > 0 &&
        choice(
          "More labels",
          "",
          [["", "More labels …"], ...others.map((one) => [one, one])],
          (label) => set({ label: [...chosen, label] }),
        ),
    ),
    choice("Size", conditions.same_size, SIZES, (same_size) =>
      set({ same_size }),
    ),
    unitless &&
      choice(
        "Unit of the file",
        conditions.unit,
        [
          ["", `Unit: ${info.unit ?? "mm"}, assumed`],
          ...info.units.map((one) => [one, `Unit: ${one}`]),
        ],
        (unit) => set({ unit }),
      ),
    metadata.length > 0 &&
      choice(
        "Metadata",
        conditions.where[0] ?? "",
        [["", "Any metadata"], ...metadata.map((one) => [one, one])],
        (where) => set({ where: where ? [where] : [] }),
      ),
    choice(
      "Number of matches",
      conditions.k,
      MATCH_COUNTS.map((one, k) => [k ? one : "", `${one} matches`]),
      (k) => set({ k }),
    ),
    hasFilters(route.parameters) &&
      h("a", { class: "button", href: clearFilters(route) }, "Clear filters"),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

/** A drop-down list. @param {Array<[string, string]>} options value, text. */
export function choice(label, value, options, onChange) {
  const select = h("select", { "aria-label": label, "data-key": label });
  replaceContent(
    select,
    options.map(([one, text]) =>
      h("option", { value: one, selected: one === value }, text),
    ),
  );
  select.addEventListener("change", () => onChange(select.value));
  return select;
}
