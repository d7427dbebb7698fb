/** What the page tells: by ear as well as by eye. */

import { h } from "./element.js";

/** Says something to those who listen to the page. */
export function tell(text) {
  const place = document.getElementById("told");
  // The same words twice are news only if the place was empty between.
  place.textContent = "";
  setTimeout(() => (place.textContent = text), 30);
}

/**
 * A box with a message.
 *
 * @param {string} kind "bad", "warning", "good" or "calm".
 * @param {string} title
 * @param {string} text what to do.
 * @param {...HTMLElement} actions
 */
export function notice(kind, title, text, ...actions) {
  const buttons = actions.filter(Boolean);
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null },
    h("p", { class: "notice-title" }, title),
    text && h("p", {}, text),
    buttons.length > 0 && h("p", { class: "actions" }, buttons),
  );
}

/** The box of an error, with a button that tries again. */
export function failure(error, title, again, ...actions) {
  return notice(
    "bad",
    title,
    error.message,
    again && h("button", { type: "button", onclick: again }, "Try again"),
    ...actions,
  );
}

/** A line that says that something is on its way. */
export function waiting(text) {
  return h(
    "p",
    { class: "waiting" },
    h("span", { class: "spinner", "aria-hidden": "true" }),
    text,
  );
}
