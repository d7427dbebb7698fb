/** Messages, visible and for screen readers. */

import { h } from "./element.js";

/** Announces a text to screen readers. */
export function announce(text) {
  const place = document.getElementById("live-region");
  // A live region announces the same text again only if it was empty before.
  place.textContent = "";
  setTimeout(() => (place.textContent = text), 30);
}

/**
 * A box with a message.
 *
 * @param {string} kind "error", "warning", "success" or "info".
 * @param {string} title
 * @param {string} text what to do.
 * @param {...HTMLElement} actions
 */
export function notice(kind, title, text, ...actions) {
  const buttons = actions.filter(Boolean);
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "error" ? "alert" : null },
    h("p", { class: "notice-title" }, title),
    text && h("p", {}, text),
    buttons.length > 0 && h("p", { class: "actions" }, buttons),
  );
}

/** A box with an error and a button to try again. */
export function failure(error, title, again, ...actions) {
  return notice(
    "error",
    title,
    error.message,
    again && h("button", { type: "button", onclick: again }, "Try again"),
    ...actions,
  );
}

/** A line with a spinner. */
export function waiting(text) {
  return h(
    "p",
    { class: "waiting" },
    h("span", { class: "spinner", "aria-hidden": "true" }),
    text,
  );
}
