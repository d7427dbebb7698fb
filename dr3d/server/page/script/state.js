/** What the service is: asked once, and again until it is ready. */

import { checkStart, getInfo } from "./api.js";
import { plural } from "./format.js";
import { tell } from "./notice.js";

const PATIENCE = 1000; // milliseconds between two questions
const LONGEST = 10000;
const CHECK = 5; // questions, after which it is asked whether it has failed

let known = null;

/** What the service knows of itself, with N views once it is ready. */
export async function info() {
  if (known?.views) return known;
  known = await getInfo();
  return known;
}

/** Lets the next question go to the service again. */
export function forget() {
  known = null;
}

/** Waits until queries are answered; `warming` is called when they are not. */
export async function untilReady(signal, warming) {
  for (let asked = 0; !(await info()).views; asked++) {
    if (!asked) warming();
    if (asked % CHECK === CHECK - 1) await checkStart();
    await rest(PATIENCE);
    signal.throwIfAborted();
  }
}

/** Shows in the head of the page whether the service answers. */
export async function watch() {
  let before = "";
  for (let wait = PATIENCE; ; wait = Math.min(LONGEST, wait * 1.5)) {
    let now = "silent";
    let text = "No answer";
    try {
      known = await getInfo();
      now = known.views ? "ready" : "warming";
      text = known.views ? plural(known.counts.indexed, "model") : "Warming up";
    } catch {
      known = null;
    }
    const place = document.getElementById("state");
    place.dataset.state = now;
    document.getElementById("state-text").textContent = text;
    if (before && now !== before) {
      tell(now === "ready" ? "The service is ready." : `Service: ${text}.`);
    }
    before = now;
    if (now === "ready") wait = LONGEST;
    await rest(wait);
  }
}

function rest(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}
