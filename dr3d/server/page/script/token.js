/** The token that the service may want, and the dialog that asks for it. */

import { h } from "./element.js";

const KEY = "dr3d-token";

let current = null; // of this visit, if the browser stores nothing
let asking = null; // the promise of the open dialog
let dismissed = false; // then only a person opens it again

/** The token; empty for none. */
export function readToken() {
  if (current !== null) return current;
  try {
    return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Headers of a request with the token. */
export function authorization() {
  const token = readToken();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Forgets the token. */
export function forgetToken() {
  storeToken("", false);
}

/**
 * Asks for the token, once for all that want it at the same time.
 *
 * @param {string} reason one sentence.
 * @param {Object} options
 * @param {boolean} options.byHand whether a person wants the dialog; otherwise
 *   it does not open again after it was closed.
 * @returns {Promise<boolean>} whether there is another token now.
 */
export function askToken(reason, { byHand = false } = {}) {
  if (dismissed && !byHand) return Promise.resolve(false);
  asking ??= openDialog(reason).finally(() => (asking = null));
  return asking;
}

function openDialog(reason) {
  const input = h("input", {
    type: "password",
    id: "token",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
  });
  const remembered = h("input", { type: "checkbox", id: "token-keep" });
  const cancel = h("button", { type: "button" }, "Cancel");
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "token-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "token-title" }, "Access token"),
      h("p", {}, reason),
      h("label", { for: "token" }, "Token"),
      input,
      h("label", { class: "tick" }, remembered, "Remember on this computer"),
      h(
        "p",
        { class: "muted" },
        "Whoever runs the service makes one with dr3d token add.",
      ),
      h(
        "p",
        { class: "actions" },
        h("button", { type: "submit", class: "primary" }, "Continue"),
        cancel,
      ),
    ),
  );
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close("cancel"));
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const token = dialog.returnValue === "cancel" ? "" : input.value.trim();
      dialog.remove();
      dismissed = !token;
      if (token) storeToken(token, remembered.checked);
      resolve(Boolean(token));
    });
  });
}

function storeToken(token, isKept) {
  current = token;
  try {
    sessionStorage.setItem(KEY, token);
    if (isKept) localStorage.setItem(KEY, token);
    else localStorage.removeItem(KEY);
  } catch {
    // Storage is blocked: the token lasts until reload.
  }
}
