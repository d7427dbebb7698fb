/** How models lie before the camera; viewers that share one turn together. */

import { between, multiply, turnOnScreen } from "./quaternion.js";

const START = [0.8039, -0.5038, -0.1679, -0.268]; // that of the thumbnails
const ZOOM = [0.5, 8];
const GLIDE = 350; // milliseconds from one view to another

/**
 * @typedef {Object} Pose
 * @property {number[]} turn quaternion of the object.
 * @property {number} zoom 1 shows the whole enclosing sphere.
 */

/** Makes a pose. */
export function createPose() {
  const watchers = new Set();
  let turn = START;
  let zoom = 1;
  let glide = 0;

  const change = () => watchers.forEach((watch) => watch());

  /** Turns to a goal, in a moment or at once. */
  function glideTo(goal) {
    cancelAnimationFrame(glide);
    const from = turn;
    const start = performance.now();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = (now) => {
      const share = still ? 1 : Math.min(1, (now - start) / GLIDE);
      turn = between(from, goal, Math.max(0, share * share * (3 - 2 * share)));
      change();
      if (share < 1) glide = requestAnimationFrame(step);
    };
    step(start);
  }

  return {
    get turn() {
      return turn;
    },
    get zoom() {
      return zoom;
    },
    /** Turns by angles in radians: to the right, down, and in the screen. */
    rotate(about, up, roll) {
      cancelAnimationFrame(glide);
      turn = multiply(turnOnScreen(about, up, roll), turn);
      change();
    },
    glideTo,
    magnify(factor) {
      zoom = Math.min(ZOOM[1], Math.max(ZOOM[0], zoom * factor));
      change();
    },
    reset() {
      zoom = 1;
      glideTo(START);
    },
    /** Calls back after each change; returns what ends it. */
    watch(callback) {
      watchers.add(callback);
      return () => watchers.delete(callback);
    },
  };
}
