/** What a viewer shows of a query, a match, or a model. */

import { urls } from "./api.js";
import { h } from "./element.js";
import { describeRegistration, extent, toStem, toWords } from "./format.js";
import { format } from "./route.js";

/**
 * The subject for a query.
 *
 * @param {Object} shape of an answer.
 * @param {Object} query
 * @param {string} query.name
 * @param {boolean} query.uploaded whether it is a file, not a model.
 * @param {string[]} query.images of its views.
 * @returns {import("./stage.js").Subject}
 */
export function querySubject(shape, { name, uploaded, images }) {
  const assumed = uploaded && /assumed/.test(shape.unit);
  return {
    role: uploaded ? "Your part" : "This part",
    name,
    title: uploaded ? name : toStem(name),
    facts: [extent(shape.extent), assumed ? `unit: ${shape.unit}` : ""].filter(
      Boolean,
    ),
    glb: shape.glb ?? urls.glb(name),
    images,
  };
}

/** The subject for a match, or for another model that is compared. */
export function matchSubject(match, views) {
  const link = (page, text) =>
    h("a", { class: "button", href: format(page, match.model) }, text);
  return {
    ...modelSubject(match, views),
    role: match.rank ? `Match ${match.rank}` : "Model",
    facts: [
      toWords(match.label),
      extent(match.extent),
      describeRegistration(match),
    ].filter(Boolean),
    actions: [link("model", "Details"), link("like", "Find similar")],
  };
}

/** The subject for a model by itself. */
export function modelSubject({ model, label, extent: sides }, views) {
  return {
    role: "Model",
    name: model,
    title: toStem(model),
    facts: [toWords(label), extent(sides)].filter(Boolean),
    extent: sides,
    glb: urls.glb(model),
    images: viewUrls(model, views),
  };
}

/** URLs of the learned views of a model. */
export function viewUrls(name, views) {
  return Array.from({ length: views ?? 0 }, (_, k) => urls.view(name, k + 1));
}
