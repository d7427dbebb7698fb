/** Files that are dropped, pasted or chosen. */

import { h } from "./element.js";
import { bytes } from "./format.js";

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
    class: "visually-hidden",
    accept: info?.formats?.join(",") ?? null,
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
      h("span", { class: "drop-title" }, "Drop a model file here"),
      h("span", { class: "button primary" }, "Choose a file"),
    ),
    h("p", { class: "muted", id: "formats" }, describe(info)),
  );
}

/**
 * Checks files before one is sent.
 *
 * @returns {string} one sentence that says what to do; empty if all is well.
 */
export function checkFiles(files, info) {
  const [file] = files;
  if (files.length > 1) {
    return `You dropped ${files.length} files: drop one at a time.`;
  }
  const limit = info?.limits?.bytes;
  if (limit && file.size > limit) {
    return (
      `${file.name} has ${bytes(file.size)}, and the service accepts ` +
      `${bytes(limit)}: save it as binary STL or with fewer faces.`
    );
  }
  const end = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
  if (info?.formats?.length && !info.formats.includes(end)) {
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
  const limit = info.limits?.bytes;
  return names.join(", ") + (limit ? `; up to ${bytes(limit)}` : "");
}
