/** The state of the service, requested once and then until it is ready. */

import { checkStart, getInfo } from "./api.js";
import { plural } from "./format.js";
import { announce } from "./notice.js";

/** The states of a model in plain words. */
export const STATES = {
  indexed: "can be found",
  failed: "file not readable",
  missing: "file is gone",
  outdated: "must be indexed again",
};

const MIN_INTERVAL = 1000; // milliseconds between requests
const MAX_INTERVAL = 10000;
const POLLS_PER_CHECK = 5; // requests, after which a failure is looked for

let known = null;

/** What /api/info answers; it has `views` once the service is ready. */
export async function info() {
  if (known?.views) return known;
  known = await getInfo();
  return known;
}

/** Makes the next `info` ask the service again. */
export function forget() {
  known = null;
}

/** Waits until queries are answered; calls `warming` if they are not yet. */
export async function untilReady(signal, warming) {
  for (let polls = 0; !(await info()).views; polls++) {
    if (!polls) warming();
    if (polls % POLLS_PER_CHECK === POLLS_PER_CHECK - 1) await checkStart();
    await delay(MIN_INTERVAL);
    signal.throwIfAborted();
  }
}

/** Shows in the header whether the service answers. */
export async function watch() {
  let before = "";
  for (let wait = MIN_INTERVAL; ; wait = Math.min(MAX_INTERVAL, wait * 1.5)) {
    let now = "silent";
    let text = "No connection";
    try {
      known = await getInfo();
      now = known.views ? "ready" : "warming";
      text = known.views ? plural(known.counts.indexed, "part") : "Warming up";
    } catch {
      known = null;
    }
    const place = document.getElementById("state");
    place.dataset.state = now;
    document.getElementById("state-text").textContent = text;
    if (before && now !== before) {
      announce(now === "ready" ? "The service is ready." : `Service: ${text}.`);
    }
    before = now;
    if (now === "ready") wait = MAX_INTERVAL;
    await delay(wait);
  }
}

function delay(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}
