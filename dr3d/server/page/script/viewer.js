/** A model to rotate; without WebGL, images of its views to browse. */

import { fetchBytes } from "./api.js";
import { h, replaceContent } from "./element.js";
import { roundUp } from "./color_map.js";
import * as control from "./control.js";
import { measure } from "./format.js";
import {
  angleBetween,
  invert,
  multiply,
  IDENTITY,
  rotateOnScreen,
} from "./quaternion.js";

const VIEW_TOLERANCE = 0.02; // radians between a rotation and a learned view
const MILLIMETRES_PER_METRE = 1000; // a GLB is in metres
const DRAG_STEP = 0.25; // radians of a drag that show the next image

/**
 * @typedef {Object} Model
 * @property {string} name for screen readers.
 * @property {string} glb URL of the mesh.
 * @property {ArrayBuffer} bytes the mesh, if it was fetched already.
 * @property {Object} overlay of a query, if it is drawn on the mesh.
 * @property {number} top deviation of the last colour, millimetres.
 * @property {string[]} images URLs of its N views.
 * @property {number} first view whose image is shown first, from 1.
 */

/**
 * Makes a viewer.
 *
 * @param {Model} model
 * @param {Object} options
 * @param {import("./pose.js").Pose} options.pose shared with other viewers.
 * @param {number[][]} options.viewpoints quaternions of the views, if known.
 * @param {function()} options.changed called after it was loaded or rotated.
 * @returns {Object} `element`; `offset`, rotation of this model alone;
 *   `independent`, whether the user changes only that; `size`, share of the
 *   enclosing sphere; `radius` of that sphere in millimetres, 0 until it is
 *   known; `view`, number of the current learned view, or 0; `isFlat`, whether
 *   it shows images; `show(number)`, `draw()`, `free()`; `replace(bytes)` shows
 *   another mesh, once the first one is shown.
 */
export function createViewer(model, { pose, viewpoints, changed }) {
  const viewer = {
    element: h("div", {
      class: "viewer",
      tabindex: "0",
      role: "application",
      "aria-label":
        `3D view of ${model.name}. Arrow keys rotate it, plus and minus zoom, ` +
        "0 resets it, digits show the learned views.",
    }),
    offset: IDENTITY,
    independent: false,
    size: 1,
    radius: 0,
    view: 0,
    gone: false,
    isFlat: false,
    draw() {},
    replace() {},
    rotate(about, up, roll) {
      if (!viewer.independent) return pose.rotate(about, up, roll);
      // The rotation on the screen, expressed in the axes of the pose.
      const screen = rotateOnScreen(about, up, roll);
      const step = multiply(
        invert(pose.rotation),
        multiply(screen, pose.rotation),
      );
      viewer.offset = multiply(step, viewer.offset);
      viewer.draw();
    },
    show(number) {
      const goal = viewpoints?.[number - 1];
      if (goal) pose.animateTo(multiply(goal, invert(viewer.offset)));
    },
    free() {
      viewer.gone = true;
    },
  };
  control.attach(viewer.element, {
    rotate: (...angles) => viewer.rotate(...angles),
    zoomBy: pose.zoomBy,
    reset: pose.reset,
    show: (number) => viewer.show(number),
  });
  start(viewer, model, { pose, viewpoints, changed });
  return viewer;
}

async function start(viewer, model, { pose, viewpoints, changed }) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  let scene;
  await null; // so that the caller has the viewer before `changed` is called
  try {
    if (!hasWebGL()) throw new Error("no WebGL");
    replaceContent(
      viewer.element,
      canvas,
      h("span", { class: "spinner centered" }),
    );
    const [{ createScene }, bytes] = await Promise.all([
      import("./scene.js"),
      model.bytes ?? fetchBytes(model.glb),
    ]);
    if (viewer.gone) return;
    scene = createScene(canvas);
    viewer.radius =
      scene.load(bytes, model.overlay, model.top) * MILLIMETRES_PER_METRE;
  } catch (error) {
    scene?.free();
    if (viewer.gone) return;
    showImages(viewer, model, changed, error);
    return;
  }
  if (viewer.gone) return scene.free();
  const scale = createScale();
  replaceContent(viewer.element, canvas, scale.element, createHint(viewer));
  let frame = 0;
  viewer.draw = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      const rotation = multiply(pose.rotation, viewer.offset);
      const pixels = scene.draw(rotation, pose.zoom, viewer.size);
      scale.set(viewer.radius / pixels);
      viewer.view =
        (viewpoints ?? []).findIndex(
          (view) => angleBetween(view, rotation) < VIEW_TOLERANCE,
        ) + 1;
      viewer.element.dataset.drawn = "model";
      changed();
    });
  };
  viewer.replace = (bytes) => {
    viewer.radius = scene.load(bytes) * MILLIMETRES_PER_METRE;
    viewer.draw();
  };
  const unwatch = pose.watch(viewer.draw);
  const observer = new ResizeObserver(viewer.draw);
  observer.observe(viewer.element);
  viewer.free = () => {
    viewer.gone = true;
    unwatch();
    observer.disconnect();
    cancelAnimationFrame(frame);
    scene.free();
  };
  changed();
  viewer.draw();
}

const MAX_BAR = 110; // pixels

/** A bar of a round length. @returns {Object} `element`, `set(mm per pixel)` */
function createScale() {
  const bar = h("span", { class: "scale-bar" });
  const text = h("span", {});
  return {
    element: h("p", { class: "scale" }, text, bar),
    set(millimetres) {
      const length = roundUp((millimetres * MAX_BAR) / 2.5);
      bar.style.setProperty("--length", `${length / millimetres}px`);
      text.textContent = `${measure(length)} mm`;
    },
  };
}

/** How the model is turned, until somebody has done it. */
function createHint({ element }) {
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const hint = h(
    "p",
    { class: "viewer-hint" },
    isTouch
      ? "Drag to turn, pinch to zoom"
      : "Drag to turn, click and scroll to zoom",
  );
  for (const event of ["pointerdown", "keydown"]) {
    element.addEventListener(event, () => hint.remove(), { once: true });
  }
  return hint;
}

/** Images of the views instead of the model; keys and drags browse them. */
function showImages(viewer, model, changed, error) {
  const total = model.images.length;
  const reason =
    error.message === "no WebGL"
      ? "This browser has no WebGL: browse the views with the arrows."
      : "The model cannot be drawn in 3D: browse the views with the arrows.";
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
  let dragged = 0; // radians
  viewer.show = (number) => {
    if (number > total) return;
    viewer.view = number;
    image.src = model.images[number - 1];
    caption.textContent = `View ${number} of ${total}. ${reason}`;
    changed();
  };
  viewer.rotate = (about, up) => {
    dragged += about + up;
    if (Math.abs(dragged) < DRAG_STEP) return;
    step(Math.sign(dragged));
    dragged = 0;
  };
  viewer.isFlat = true;
  viewer.element.classList.add("flat");
  viewer.element.dataset.drawn = "images";
  if (!total) {
    replaceContent(viewer.element, h("p", { class: "viewer-note" }, reason));
    return;
  }
  replaceContent(
    viewer.element,
    image,
    total > 1 && button("‹", -1, "Previous view"),
    total > 1 && button("›", 1, "Next view"),
    caption,
  );
  viewer.show(model.first || 1);
}

/** Whether models can be drawn in 3D here. */
export function hasWebGL() {
  return Boolean(document.createElement("canvas").getContext("webgl2"));
}
