/** A model to be turned; where there is no WebGL, its pictures to leaf in. */

import { fetchBytes } from "./api.js";
import { h, refill } from "./element.js";
import * as grip from "./grip.js";
import { apart, invert, multiply, NONE, turnOnScreen } from "./quaternion.js";

const NEAR = 0.02; // radians, within which it lies as a view has it
const MILLIMETRES = 1000; // of the metre, the unit of a GLB

/**
 * @typedef {Object} Subject
 * @property {string} name for those who do not see it.
 * @property {string} glb address of what is drawn.
 * @property {string[]} pictures addresses of its N views.
 * @property {number} first view whose picture comes first, from 1.
 */

/**
 * Makes a viewer.
 *
 * @param {Subject} model
 * @param {Object} options
 * @param {import("./pose.js").Pose} options.pose that it shares with others.
 * @param {number[][]} options.viewpoints quaternions of the views, if known.
 * @param {function()} options.changed called when it has loaded or turned.
 * @returns {Object} `element`; `offset`, turns this model alone; `alone`,
 *   whether grips do so too; `size`, share of the enclosing sphere; `radius`
 *   of that sphere in millimetres, 0 until it is known; `view`, number of the
 *   learned view that is seen, or 0; `show(number)`, `draw()`, `free()`.
 */
export function createViewer(model, { pose, viewpoints, changed }) {
  const viewer = {
    element: h("div", {
      class: "viewer",
      tabindex: "0",
      role: "application",
      "aria-label":
        `3D view of ${model.name}. Arrow keys turn it, plus and minus zoom, ` +
        "0 goes back, digits show the learned views.",
    }),
    offset: NONE,
    alone: false,
    size: 1,
    radius: 0,
    view: 0,
    gone: false,
    draw() {},
    rotate(about, up, roll) {
      if (!viewer.alone) return pose.rotate(about, up, roll);
      // What the grip does on the screen, told in the axes of the pose.
      const screen = turnOnScreen(about, up, roll);
      const step = multiply(invert(pose.turn), multiply(screen, pose.turn));
      viewer.offset = multiply(step, viewer.offset);
      viewer.draw();
    },
    show(number) {
      const goal = viewpoints?.[number - 1];
      if (goal) pose.glideTo(multiply(goal, invert(viewer.offset)));
    },
    free() {
      viewer.gone = true;
    },
  };
  grip.attach(viewer.element, {
    rotate: (...angles) => viewer.rotate(...angles),
    magnify: pose.magnify,
    reset: pose.reset,
    show: (number) => viewer.show(number),
  });
  start(viewer, model, { pose, viewpoints, changed });
  return viewer;
}

async function start(viewer, model, { pose, viewpoints, changed }) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  let scene;
  await null; // whoever makes the viewer has it before it changes
  try {
    if (!hasWebGL()) throw new Error("no WebGL");
    refill(viewer.element, canvas, h("span", { class: "spinner amid" }));
    const [{ createScene }, bytes] = await Promise.all([
      import("./scene.js"),
      fetchBytes(model.glb),
    ]);
    if (viewer.gone) return;
    scene = createScene(canvas);
    viewer.radius = scene.load(bytes) * MILLIMETRES;
  } catch (error) {
    scene?.free();
    if (viewer.gone) return;
    showPictures(viewer, model, changed, error);
    return;
  }
  if (viewer.gone) return scene.free();
  refill(viewer.element, canvas);
  let due = 0;
  viewer.draw = () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => {
      const turn = multiply(pose.turn, viewer.offset);
      scene.draw(turn, pose.zoom, viewer.size);
      viewer.view =
        (viewpoints ?? []).findIndex((view) => apart(view, turn) < NEAR) + 1;
      viewer.element.dataset.drawn = "model";
      changed();
    });
  };
  const unwatch = pose.watch(viewer.draw);
  const observer = new ResizeObserver(viewer.draw);
  observer.observe(viewer.element);
  viewer.free = () => {
    viewer.gone = true;
    unwatch();
    observer.disconnect();
    cancelAnimationFrame(due);
    scene.free();
  };
  changed();
  viewer.draw();
}

/** The views in place of the model: keys and grips leaf through them. */
function showPictures(viewer, model, changed, error) {
  const total = model.pictures.length;
  const why =
    error.message === "no WebGL"
      ? "This browser draws no 3D: turn the pictures with the arrows."
      : "The model cannot be drawn in 3D: turn the pictures with the arrows.";
  const image = h("img", { alt: "", draggable: "false" });
  const caption = h("p", { class: "viewer-note" });
  const button = (text, by, label) =>
    h(
      "button",
      { type: "button", "aria-label": label, onclick: () => step(by) },
      text,
    );
  const step = (by) =>
    viewer.show(((viewer.view - 1 + by + total) % total) + 1);
  let pulled = 0;
  viewer.show = (number) => {
    if (number > total) return;
    viewer.view = number;
    image.src = model.pictures[number - 1];
    caption.textContent = `View ${number} of ${total}. ${why}`;
    changed();
  };
  viewer.rotate = (about, up) => {
    pulled += about + up;
    if (Math.abs(pulled) < 0.25) return;
    step(Math.sign(pulled));
    pulled = 0;
  };
  viewer.element.classList.add("flat");
  viewer.element.dataset.drawn = "pictures";
  if (!total) {
    refill(viewer.element, h("p", { class: "viewer-note" }, why));
    return;
  }
  refill(
    viewer.element,
    image,
    total > 1 && button("‹", -1, "View before"),
    total > 1 && button("›", 1, "Next view"),
    caption,
  );
  viewer.show(model.first || 1);
}

function hasWebGL() {
  return Boolean(document.createElement("canvas").getContext("webgl2"));
}
