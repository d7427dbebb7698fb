/** A picture on which a box is dragged around a thing. */

import { h, replaceContent } from "./element.js";

const LEAST = 8; // pixels of a side of the box on the screen
const NAMES = ["Left", "Top", "Width", "Height"];

/**
 * Makes the picture.
 *
 * @param {string} source URL of the picture.
 * @param {Object} options
 * @param {string} options.name of the picture.
 * @param {number[]|null} options.region x, y, width and height, in pixels of
 *   the picture.
 * @param {function(number[]|null)} options.choose called when a box was dragged
 *   or typed, or removed.
 * @returns {Object} `element`; `setRegion(region)` shows a box or none.
 */
export function createCrop(source, { name, region, choose }) {
  const image = h("img", { src: source, alt: name, draggable: "false" });
  const box = h("div", { class: "crop-box", hidden: true });
  const frame = h("div", { class: "crop-frame" }, image, box);
  const hint = h("p", { class: "muted" });
  const inputs = NAMES.map((label) =>
    h("input", { type: "number", min: "0", step: "1", "aria-label": label }),
  );
  const clear = h("button", { type: "button", onclick: () => choose(null) });
  replaceContent(clear, "Whole picture");
  const form = h(
    "form",
    { class: "crop-numbers" },
    inputs.map((input, k) => h("label", {}, NAMES[k], input)),
    h("button", { type: "submit" }, "Search in this box"),
  );
  let shown = region;
  let start = null;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = inputs.map((input) => Math.round(Number(input.value)));
    if (values[2] > 0 && values[3] > 0) choose(values);
  });

  /** Pixels of the picture for one of the screen. */
  const scale = () => image.naturalWidth / image.clientWidth || 1;

  function show() {
    box.hidden = !shown;
    clear.hidden = !shown;
    hint.textContent = shown
      ? "Drag another box, or search in the whole picture."
      : "Is something else in the picture? Drag a box around the part.";
    (shown ?? []).forEach((value, k) => (inputs[k].value = value));
    if (!shown || !image.clientWidth) return;
    const [x, y, width, height] = shown.map((value) => value / scale());
    Object.assign(box.style, {
      left: `${x}px`,
      top: `${y}px`,
      width: `${width}px`,
      height: `${height}px`,
    });
  }

  /** Where a pointer is, in pixels of the picture. */
  function locate(event) {
    const { left, top } = image.getBoundingClientRect();
    const clamp = (value, most) => Math.max(0, Math.min(most, value));
    return [
      clamp((event.clientX - left) * scale(), image.naturalWidth),
      clamp((event.clientY - top) * scale(), image.naturalHeight),
    ];
  }

  function span([ax, ay], [bx, by]) {
    const x = Math.round(Math.min(ax, bx));
    const y = Math.round(Math.min(ay, by));
    const right = Math.round(Math.max(ax, bx));
    return [x, y, right - x, Math.round(Math.max(ay, by)) - y];
  }

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    start = { at: locate(event), before: shown };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    shown = span(start.at, locate(event));
    show();
  });
  frame.addEventListener("pointerup", (event) => {
    if (!start) return;
    const { at, before } = start;
    start = null;
    const found = span(at, locate(event));
    const least = LEAST * scale();
    if (found[2] >= least && found[3] >= least) return choose(found);
    shown = before; // a click is not a box
    show();
  });
  frame.addEventListener("pointercancel", () => {
    if (!start) return;
    shown = start.before;
    start = null;
    show();
  });
  image.addEventListener("load", show);
  image.addEventListener("error", () => {
    frame.hidden = true;
    hint.textContent =
      "This browser cannot show this format; the service can read it.";
  });
  new ResizeObserver(show).observe(image);
  show();
  return {
    element: h(
      "section",
      { class: "crop", "aria-label": "Photograph" },
      frame,
      h("div", { class: "crop-line" }, hint, clear),
      h(
        "details",
        { class: "why" },
        h("summary", {}, "Box in numbers"),
        form,
      ),
    ),
    setRegion(next) {
      shown = next;
      show();
    },
  };
}
