/** Files that are dropped, pasted or chosen. */

import { h } from "./element.js";
import { MAX_FILES } from "./file_store.js";
import { bytes } from "./format.js";

const PICTURES = [".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"];
const MAX_PHOTOGRAPHS = 8; // of one thing, in one search
const COMMON = ["STEP", "STL", "3MF", "OBJ", "PLY"];

/** Accepts files that are dropped or pasted anywhere. */
export function attach(overlay, accept) {
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const setDepth = (by) => {
    depth = Math.max(0, depth + by);
    overlay.hidden = depth === 0;
  };
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setDepth(1);
  });
  window.addEventListener(
    "dragleave",
    (event) => hasFiles(event) && setDepth(-1),
  );
  window.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setDepth(-depth);
    accept([...event.dataTransfer.files]);
  });
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    accept(files);
  });
}

/** A large field to drop a file on or to choose one. */
export function createField(info, accept) {
  const input = h("input", {
    type: "file",
    id: "file",
    multiple: true,
    class: "visually-hidden",
    accept: info?.formats && [...info.formats, ...PICTURES].join(","),
    "aria-describedby": "formats",
  });
  input.addEventListener("change", () => {
    if (input.files.length) accept([...input.files]);
    input.value = "";
  });
  return h(
    "div",
    { class: "drop" },
    input,
    h(
      "label",
      { for: "file", class: "drop-label" },
      h("span", { class: "drop-sign", "aria-hidden": "true" }, "⤓"),
      h(
        "span",
        { class: "drop-title" },
        "Drop a scan, CAD file or photograph here, or several",
      ),
      h("span", { class: "button primary" }, "Choose files"),
    ),
    h(
      "p",
      { class: "muted", id: "formats", title: info?.formats?.join(" ") },
      describe(info),
    ),
  );
}

/** A button that takes a photograph, on a phone with its camera. */
export function createCamera(accept) {
  const input = h("input", {
    type: "file",
    id: "photograph",
    class: "visually-hidden",
    accept: "image/*",
    capture: "environment",
  });
  input.addEventListener("change", () => {
    if (input.files.length) accept([...input.files]);
    input.value = "";
  });
  return [
    input,
    h(
      "label",
      { for: "photograph", class: "button photograph" },
      "Take a photograph",
    ),
  ];
}

/** Whether all files are photographs, by their names. */
export const arePhotographs = (files) => files.every(isPhotograph);

function isPhotograph(file) {
  return PICTURES.includes(endOf(file)) || file.type?.startsWith("image/");
}

function endOf({ name }) {
  return name.slice(name.lastIndexOf(".")).toLowerCase();
}

/**
 * Checks files before they are sent.
 *
 * @returns {string} one sentence that says what to do; empty if all is well.
 */
export function checkFiles(files, info) {
  if (files.length > MAX_FILES) {
    return (
      `You dropped ${files.length} files: drop at most ${MAX_FILES} at once, ` +
      "or use dr3d query for a whole folder."
    );
  }
  if (files.length > MAX_PHOTOGRAPHS && arePhotographs(files)) {
    return (
      `You chose ${files.length} photographs: choose at most ` +
      `${MAX_PHOTOGRAPHS} of one part.`
    );
  }
  // Of several files each bad one is named in its row.
  return files.length > 1 ? "" : checkFile(files[0], info);
}

function checkFile(file, info) {
  const limit = info?.limits?.bytes;
  if (limit && file.size > limit) {
    return (
      `${file.name} has ${bytes(file.size)}, and the service accepts ` +
      `${bytes(limit)}: save it as binary STL or with fewer faces.`
    );
  }
  const known = isPhotograph(file) || info?.formats?.includes(endOf(file));
  if (info?.formats?.length && !known) {
    return (
      `${file.name} is not a model file that dr3d reads: save it as one of ` +
      `${info.formats.join(", ")}.`
    );
  }
  if (!file.size) return `${file.name} is empty: choose another file.`;
  return "";
}

function describe(info) {
  if (!info) return "";
  const names = info.formats.map((end) => end.slice(1).toUpperCase());
  const common = COMMON.filter((name) => names.includes(name));
  const others = names.length - common.length;
  const limit = info.limits?.bytes;
  return (
    common.join(", ") +
    (others > 0 ? ` and ${others} more formats` : "") +
    (limit ? `, up to ${bytes(limit)}` : "")
  );
}
