/** Rotation and zoom of models; viewers that share a pose move together. */

import { slerp, multiply, rotateOnScreen } from "./quaternion.js";

const START = [0.8039, -0.5038, -0.1679, -0.268]; // as in the thumbnails
const ZOOM_RANGE = [0.5, 8];
const ANIMATION = 350; // milliseconds

/**
 * @typedef {Object} Pose
 * @property {number[]} rotation quaternion of the object.
 * @property {number} zoom 1 shows the whole enclosing sphere.
 */

/** Makes a pose. */
export function createPose() {
  const watchers = new Set();
  let rotation = START;
  let zoom = 1;
  let frame = 0;

  const change = () => watchers.forEach((watch) => watch());

  /** Rotates to a goal, at once if the user prefers reduced motion. */
  function animateTo(goal) {
    cancelAnimationFrame(frame);
    const from = rotation;
    const start = performance.now();
    const reducedMotion = matchMedia(
      "(prefers-reduced-motion: reduce)",
    ).matches;
    const step = (now) => {
      const share = reducedMotion ? 1 : Math.min(1, (now - start) / ANIMATION);
      rotation = slerp(
        from,
        goal,
        Math.max(0, share * share * (3 - 2 * share)),
      );
      change();
      if (share < 1) frame = requestAnimationFrame(step);
    };
    step(start);
  }

  return {
    get rotation() {
      return rotation;
    },
    get zoom() {
      return zoom;
    },
    /** Rotates by angles in radians: to the right, down, in the screen plane. */
    rotate(about, up, roll) {
      cancelAnimationFrame(frame);
      rotation = multiply(rotateOnScreen(about, up, roll), rotation);
      change();
    },
    animateTo,
    zoomBy(factor) {
      zoom = Math.min(ZOOM_RANGE[1], Math.max(ZOOM_RANGE[0], zoom * factor));
      change();
    },
    reset() {
      zoom = 1;
      animateTo(START);
    },
    /** Calls back after each change; returns a function that stops it. */
    watch(callback) {
      watchers.add(callback);
      return () => watchers.delete(callback);
    },
  };
}
