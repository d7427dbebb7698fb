/** The metadata of a model, as it is shown and edited. */

import { h } from "./element.js";
import { toTitle } from "./format.js";

/** The chosen columns of a model, as terms and values. */
export function createColumns(metadata, shown) {
  const rows = (shown ?? []).filter((key) => metadata?.[key]);
  if (!rows.length) return null;
  return h(
    "dl",
    { class: "columns" },
    rows.map((key) =>
      h("div", {}, h("dt", {}, toTitle(key)), h("dd", {}, metadata[key])),
    ),
  );
}

/**
 * Fields for the metadata of a model.
 *
 * @param {Object} metadata
 * @param {string[]} known keys of other models.
 * @returns {Object} `element`; `read()`, the metadata.
 */
export function createFields(metadata, known) {
  const rows = h("div", { class: "fields" });
  const list = h(
    "datalist",
    { id: "metadata-keys" },
    known.map((key) => h("option", { value: key })),
  );
  const add = (key = "", value = "") => {
    const number = rows.children.length + 1;
    const row = h(
      "div",
      { class: "field-row" },
      h("input", {
        value: key,
        list: key ? null : "metadata-keys",
        placeholder: "Property",
        "aria-label": `Name of property ${number}`,
        autocomplete: "off",
      }),
      h("input", {
        value,
        placeholder: "Value",
        "aria-label": `Value of property ${number}`,
        autocomplete: "off",
      }),
      h(
        "button",
        {
          type: "button",
          "aria-label": `Remove property ${number}`,
          onclick: () => row.remove(),
        },
        "×",
      ),
    );
    rows.append(row);
    return row;
  };
  const keys = [...new Set([...Object.keys(metadata), ...known])];
  for (const key of keys) add(key, metadata[key] ?? "");
  return {
    element: h(
      "fieldset",
      {},
      h("legend", {}, "Properties"),
      list,
      rows,
      h(
        "button",
        { type: "button", onclick: () => add().firstChild.focus() },
        "Add a property",
      ),
    ),
    read() {
      const pairs = [...rows.children]
        .map((row) =>
          [...row.querySelectorAll("input")].map((one) => one.value),
        )
        .filter(([key, value]) => key.trim() && value.trim());
      return Object.fromEntries(pairs);
    },
  };
}
