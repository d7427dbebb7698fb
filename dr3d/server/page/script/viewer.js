/** A model to be turned; where there is no WebGL, its pictures to leaf in. */

import { fetchBytes } from "./api.js";
import { h, refill } from "./element.js";
import * as grip from "./grip.js";
import { invert, multiply, NONE, turnOnScreen } from "./quaternion.js";

/**
 * Makes a viewer.
 *
 * @param {import("./pose.js").Pose} pose that it shares with others.
 * @param {Object} model
 * @param {string} model.name for those who do not see it.
 * @param {string} model.glb address of what is drawn.
 * @param {string[]} model.pictures addresses of its N views.
 * @param {function()} model.loaded called when it is drawn.
 * @param {function(number)} leaf goes to a view by its number.
 * @returns {Object} `element`, `offset` (turns this model alone), `size`
 *   (share of the enclosing sphere), `radius` (of that sphere, millimetres, 0
 *   until it is known), `alone` (grips turn this model alone), `draw()`,
 *   `free()`.
 */
export function createViewer(pose, model, leaf) {
  const element = h("div", {
    class: "viewer",
    tabindex: "0",
    role: "application",
    "aria-label":
      `3D view of ${model.name}. Arrow keys turn it, plus and minus zoom, ` +
      "0 goes back, digits show the learned views.",
  });
  const viewer = {
    element,
    offset: NONE,
    size: 1,
    radius: 0,
    alone: false,
    draw: () => {},
    free: () => {
      viewer.gone = true;
    },
  };

  function rotate(about, up, roll) {
    if (!viewer.alone) return pose.rotate(about, up, roll);
    const before = pose.turn;
    // What the grip does on the screen, told in the axes of the pose.
    const screen = turnOnScreen(about, up, roll);
    const step = multiply(invert(before), multiply(screen, before));
    viewer.offset = multiply(step, viewer.offset);
    viewer.draw();
  }

  grip.attach(element, {
    rotate: (...angles) => viewer.rotate(...angles),
    magnify: pose.magnify,
    reset: () => {
      viewer.offset = NONE;
      pose.reset();
    },
    show: leaf,
  });
  viewer.rotate = rotate;
  start(viewer, pose, model, leaf);
  return viewer;
}

async function start(viewer, pose, model, leaf) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  let scene;
  try {
    if (!hasWebGL()) throw new Error("no WebGL");
    refill(viewer.element, canvas, h("span", { class: "spinner veiled" }));
    const [{ createScene }, bytes] = await Promise.all([
      import("./scene.js"),
      fetchBytes(model.glb),
    ]);
    if (viewer.gone) return;
    scene = createScene(canvas);
    viewer.radius = (await scene.load(bytes)) * 1000;
  } catch (error) {
    scene?.free();
    if (!viewer.gone) showPictures(viewer, pose, model, leaf, error);
    return;
  }
  refill(viewer.element, canvas);
  let due = 0;
  viewer.draw = () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() =>
      scene.draw(multiply(pose.turn, viewer.offset), pose.zoom, viewer.size),
    );
  };
  const unwatch = pose.watch(viewer.draw);
  const observer = new ResizeObserver(viewer.draw);
  observer.observe(viewer.element);
  viewer.free = () => {
    unwatch();
    observer.disconnect();
    cancelAnimationFrame(due);
    scene.free();
  };
  viewer.element.dataset.drawn = "model";
  if (viewer.gone) viewer.free();
  else viewer.draw();
  model.loaded?.();
}

/** The views in place of the model: keys and grips leaf through them. */
function showPictures(viewer, pose, model, leaf, error) {
  const total = model.pictures.length;
  const image = h("img", { alt: "", draggable: "false" });
  const caption = h("p", { class: "viewer-note" });
  const step = (by) =>
    leaf((((pose.view || 1) - 1 + by + total) % total) + 1);
  const draw = () => {
    const number = Math.min(pose.view || 1, total);
    if (!total) return;
    image.src = model.pictures[number - 1];
    caption.textContent =
      `View ${number} of ${total}. ` +
      (error.message === "no WebGL"
        ? "This browser draws no 3D: its pictures are shown."
        : "The model cannot be drawn: its pictures are shown.");
  };
  const button = (text, by, label) =>
    h(
      "button",
      { type: "button", "aria-label": label, onclick: () => step(by) },
      text,
    );
  refill(
    viewer.element,
    image,
    total > 1 && button("‹", -1, "Previous view"),
    total > 1 && button("›", 1, "Next view"),
    caption,
  );
  viewer.element.classList.add("flat");
  viewer.element.dataset.drawn = "pictures";
  viewer.rotate = (about, up) => {
    if (Math.abs(about) + Math.abs(up) > 0.2) step(about + up > 0 ? 1 : -1);
  };
  viewer.draw = draw;
  viewer.free = pose.watch(draw);
  if (viewer.gone) viewer.free();
  else draw();
}

function hasWebGL() {
  return Boolean(document.createElement("canvas").getContext("webgl2"));
}
