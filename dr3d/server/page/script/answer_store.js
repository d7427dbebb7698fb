/** Answers of this visit, so that a step back costs no search. */

import { findSimilar, query } from "./api.js";
import { readFilters } from "./filter.js";

const MAX_CACHED = 60; // answers, of up to 1 MB each
const answers = new Map();

/**
 * The answer to a route, from the store or from the service.
 *
 * @param {import("./route.js").Route} route its page is "query" or "like".
 * @param {File|null} file of a query.
 * @param {Object} options of `api.query`.
 */
export async function getAnswer(route, file, options) {
  const key = toKey(route);
  if (!answers.has(key)) {
    const conditions = readFilters(route.parameters);
    const answer = file
      ? await query(file, conditions, options)
      : await findSimilar(route.name, conditions, options.signal);
    answers.set(key, answer);
    for (const old of [...answers.keys()].slice(0, -MAX_CACHED))
      answers.delete(old);
  }
  return answers.get(key);
}

/** Whether the answer is stored. */
export const hasAnswer = (route) => answers.has(toKey(route));

/** Forgets all answers, because the catalogue has changed. */
export const forgetAnswers = () => answers.clear();

/** All that the answer depends on, as text. */
export function toKey({ page, name, parameters }) {
  return JSON.stringify([page, name, readFilters(parameters)]);
}
