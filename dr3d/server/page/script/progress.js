/** The progress of an upload. */

import { h, replaceContent } from "./element.js";
import { bytes, percent } from "./format.js";
import { announce } from "./notice.js";

/**
 * Makes a panel.
 *
 * @param {File} file
 * @param {function()} stop called when the user cancels.
 * @returns {Object} `element`; `setSent(share)`; `setWaiting(seconds)`;
 *   `setWarming()`; `end()`.
 */
export function createProgress(file, stop) {
  const bar = h("progress", { max: "1", "aria-label": "Upload" });
  const text = h("p", { class: "progress-text" }, "Sending the file");
  const clock = h("span", { class: "muted" });
  const start = Date.now();
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - start) / 1000);
    if (seconds >= 2) clock.textContent = `${seconds}\u202fs`;
  }, 500);
  let announced = 0; // quarters of the upload
  let isSent = false;

  function show(message, aloud) {
    replaceContent(text, message);
    if (aloud) announce(message);
  }

  return {
    element: h(
      "div",
      { class: "progress" },
      h("h1", {}, file.name),
      h("p", { class: "muted" }, bytes(file.size)),
      bar,
      h("div", { class: "progress-line" }, text, clock),
      h("button", { type: "button", onclick: stop }, "Cancel"),
    ),
    setSent(share) {
      if (share < 1) {
        bar.value = share;
        const quarter = Math.floor(share * 4);
        show(`Sending the file: ${percent(share)}`, quarter > announced);
        announced = quarter;
      } else if (!isSent) {
        isSent = true;
        bar.removeAttribute("value"); // the rest has no measured progress
        show("Reading, rendering and searching", true);
      }
    },
    setWarming() {
      bar.removeAttribute("value");
      show("The service is warming up: the search starts by itself", true);
    },
    setWaiting(seconds) {
      isSent = false;
      bar.removeAttribute("value");
      show(`The service is busy: next try in ${seconds}\u202fs`, true);
    },
    end: () => clearInterval(timer),
  };
}
