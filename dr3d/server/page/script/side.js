/** What the stage shows of a query, a match, or a model. */

import { address } from "./api.js";
import { h } from "./element.js";
import { count, describeFit, extent, splitName } from "./format.js";
import { format } from "./route.js";

/**
 * The side of a query.
 *
 * @param {Object} shape of an answer.
 * @param {Object} query
 * @param {string} query.name
 * @param {boolean} query.uploaded whether it is a file, not a known model.
 * @param {string[]} query.pictures of its views.
 * @returns {import("./stage.js").Side}
 */
export function describeQuery(shape, { name, uploaded, pictures }) {
  const assumed = uploaded && /assumed/.test(shape.unit);
  return {
    role: "Query",
    name,
    title: splitName(name)[1],
    facts: [
      extent(shape.extent),
      assumed ? `unit: ${shape.unit}` : "",
      `${count(shape.face_count)} faces drawn`,
    ].filter(Boolean),
    glb: shape.glb ?? address.glb(name),
    pictures,
  };
}

/** The side of a match, or of a model that is compared though it is none. */
export function describeMatch(match, views) {
  const link = (page, text) =>
    h("a", { class: "button", href: format(page, match.model) }, text);
  return {
    ...describeModel(match, views),
    role: match.rank ? `Match ${match.rank}` : "Model",
    facts: [match.label, extent(match.extent), describeFit(match)].filter(
      Boolean,
    ),
    actions: [link("model", "Details"), link("like", "Search from it")],
  };
}

/** The side of a model by itself. */
export function describeModel({ model, label, extent: sides }, views) {
  return {
    role: "Model",
    name: model,
    title: splitName(model)[1],
    facts: [label, extent(sides)].filter(Boolean),
    glb: address.glb(model),
    pictures: listViews(model, views),
  };
}

/** Addresses of the learned views of a model. */
export function listViews(name, views) {
  return Array.from({ length: views ?? 0 }, (_, k) =>
    address.view(name, k + 1),
  );
}
