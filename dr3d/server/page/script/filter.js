/** Filters of a search, stored in the URL. */

import { listModels } from "./api.js";
import { h, replaceContent } from "./element.js";
import { createFacets } from "./facet.js";
import { withParameters, navigate } from "./route.js";

const SIZES = [
  ["", "Any size"],
  ["0.02", "Same size, ± 2 %"],
  ["0.05", "Same size, ± 5 %"],
  ["0.2", "Same size, ± 20 %"],
];
const MATCH_COUNTS = ["10", "25", "50"];
const LISTS = ["label", "where"];
const NAMES = [...LISTS, "same_size", "unit", "k"];

/** The parameters of a query that a URL contains. */
export function readFilters(parameters) {
  return Object.fromEntries(
    NAMES.map((name) => [
      name,
      LISTS.includes(name)
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
 * @param {Object} known.info of the service.
 * @param {boolean} known.unitless whether the file states no unit.
 */
export function createFilters(route, { info, unitless }) {
  const conditions = readFilters(route.parameters);
  const set = (changes) =>
    navigate(withParameters(route, { ...changes, match: "" }));
  const facets = h("div", { class: "facets" });
  fillFacets(facets, route, set, info.shown);
  const form = h(
    "form",
    { class: "filters", "aria-label": "Filters" },
    facets,
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
  // On a phone the row would push the matches out of sight.
  const isWide = matchMedia("(min-width: 46.01rem)").matches;
  return h(
    "details",
    { class: "narrow", open: isWide || hasFilters(route.parameters) },
    h("summary", {}, "Filter the matches"),
    form,
  );
}

/** The counts arrive later; a search does not wait for them. */
async function fillFacets(place, route, set, shown) {
  const { label, where } = readFilters(route.parameters);
  try {
    const wanted = { state: "indexed", columns: true, limit: 0, label, where };
    const { columns } = await listModels(wanted);
    replaceContent(place, createFacets(columns, route, set, shown));
  } catch {
    // Without counts the other filters still work.
  }
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
