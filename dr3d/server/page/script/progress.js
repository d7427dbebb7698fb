/** How far a file has come. */

import { h, refill } from "./element.js";
import { bytes, percent } from "./format.js";
import { tell } from "./notice.js";

/**
 * Makes a panel.
 *
 * @param {File} file
 * @param {function()} stop called when the person wants no more of it.
 * @returns {Object} `element`; `sent(share)`; `waits(seconds)`; `end()`.
 */
export function createProgress(file, stop) {
  const bar = h("progress", { max: "1", "aria-label": "Upload" });
  const text = h("p", { class: "progress-text" }, "Sending the file");
  const clock = h("span", { class: "faint" });
  const start = Date.now();
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - start) / 1000);
    if (seconds >= 2) clock.textContent = `${seconds}\u202fs`;
  }, 500);
  let told = 0;
  let handled = false;

  function say(words, loudly) {
    refill(text, words);
    if (loudly) tell(words);
  }

  return {
    element: h(
      "div",
      { class: "progress" },
      h("h1", {}, file.name),
      h("p", { class: "faint" }, bytes(file.size)),
      bar,
      h("div", { class: "progress-line" }, text, clock),
      h("button", { type: "button", onclick: stop }, "Cancel"),
    ),
    sent(share) {
      if (share < 1) {
        bar.value = share;
        const quarter = Math.floor(share * 4);
        say(`Sending the file: ${percent(share)}`, quarter > told);
        told = quarter;
      } else if (!handled) {
        handled = true;
        bar.removeAttribute("value"); // nobody knows how long it takes
        say("Reading it, drawing its views, looking them up", true);
      }
    },
    warms() {
      bar.removeAttribute("value");
      say("The service is warming up: this goes on by itself", true);
    },
    waits(seconds) {
      handled = false;
      bar.removeAttribute("value");
      say(`The service is busy: the next try is in ${seconds}\u202fs`, true);
    },
    end: () => clearInterval(timer),
  };
}
