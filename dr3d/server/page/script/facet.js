/** Filters by the values of a column, with the number of models that have them. */

import { h, replaceContent } from "./element.js";
import { count, toTitle, toWords } from "./format.js";

const MANY = 12; // values, above which a field narrows the list

/** The values that a URL has chosen for a column. */
export function readChosen(name, parameters) {
  if (name === "label") return parameters.getAll("label");
  return parameters
    .getAll("where")
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
}

/** The parameters of a URL after values were chosen for a column. */
export function writeChosen(name, values, parameters) {
  if (name === "label") return { label: values };
  const others = parameters
    .getAll("where")
    .filter((pair) => !pair.startsWith(`${name}=`));
  return { where: [...others, ...values.map((one) => `${name}=${one}`)] };
}

/**
 * Makes a list for each column.
 *
 * @param {Object[]} columns that the service has counted.
 * @param {import("./route.js").Route} route
 * @param {function(Object)} set called with the changed parameters.
 * @param {string[]} shown columns that come first, after the class.
 */
export function createFacets(columns, route, set, shown) {
  const first = ["label", ...shown];
  const rank = ({ name }) => first.indexOf(name) + 1 || first.length + 1;
  return [...columns]
    .sort((one, two) => rank(one) - rank(two))
    .filter(({ values, name }) => {
      const chosen = readChosen(name, route.parameters);
      // A value that nearly each model has alone, such as a number, does not help.
      return chosen.length || (values.length > 0 && values[0].count > 1);
    })
    .map((column) => createFacet(column, route, set));
}

function createFacet({ name, values, total }, { parameters }, set) {
  const chosen = readChosen(name, parameters);
  const title = name === "label" ? "Class" : toTitle(name);
  const show = name === "label" ? toWords : (text) => text;
  const offered = new Map(chosen.map((value) => [value, 0]));
  for (const { value, count: number } of values) offered.set(value, number);
  const list = h("ul", {});
  const fill = (text) => {
    const wanted = [...offered].filter(([value]) =>
      show(value).toLowerCase().includes(text.toLowerCase()),
    );
    replaceContent(
      list,
      wanted.map(([value, number]) => {
        const box = h("input", {
          type: "checkbox",
          checked: chosen.includes(value),
          onchange: () =>
            set(
              writeChosen(
                name,
                box.checked
                  ? [...chosen, value]
                  : chosen.filter((one) => one !== value),
                parameters,
              ),
            ),
        });
        return h(
          "li",
          {},
          h(
            "label",
            { class: "tick" },
            box,
            h("span", { class: "value" }, show(value)),
            h("span", { class: "number muted" }, count(number)),
          ),
        );
      }),
      !wanted.length && h("li", { class: "muted" }, "None"),
    );
  };
  fill("");
  const field =
    offered.size > MANY &&
    h("input", {
      type: "search",
      placeholder: `Find in ${title}`,
      "aria-label": `Find in ${title}`,
      oninput: (event) => fill(event.target.value.trim()),
    });
  const element = h(
    "details",
    { class: "facet", "data-column": name, name: "facet" },
    h(
      "summary",
      { class: chosen.length ? "chosen" : null },
      title,
      chosen.length > 0 && h("span", { class: "count" }, chosen.length),
    ),
    h(
      "div",
      { class: "facet-list" },
      field,
      list,
      total > values.length &&
        h(
          "p",
          { class: "muted" },
          `The ${values.length} most frequent of ${count(total)} values.`,
        ),
    ),
  );
  return element;
}

/** Closes open lists when a person clicks or steps elsewhere. */
export function closeFacets(event) {
  for (const open of document.querySelectorAll("details.facet[open]")) {
    if (event.key === "Escape" || !open.contains(event.target)) {
      const inside = open.contains(document.activeElement);
      open.open = false;
      if (event.key === "Escape" && inside) open.firstChild.focus();
    }
  }
}
