/** Files that are dropped, pasted or chosen. */

import { h } from "./element.js";
import { bytes } from "./format.js";

/** Takes files that are dropped or pasted anywhere. */
export function attach(veil, take) {
  let depth = 0;
  const holds = (event) => event.dataTransfer?.types.includes("Files");
  const cover = (by) => {
    depth = Math.max(0, depth + by);
    veil.hidden = depth === 0;
  };
  window.addEventListener("dragenter", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    cover(1);
  });
  window.addEventListener("dragleave", (event) => holds(event) && cover(-1));
  window.addEventListener("dragover", (event) => {
    if (holds(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    cover(-depth);
    take([...event.dataTransfer.files]);
  });
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
}

/** A large field to drop a file on or to choose one. */
export function createField(info, take) {
  const input = h("input", {
    type: "file",
    id: "file",
    class: "unseen",
    accept: info?.formats?.join(",") ?? null,
    "aria-describedby": "formats",
  });
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
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
      h("span", { class: "button main" }, "Choose a file"),
    ),
    h("p", { class: "faint", id: "formats" }, describe(info)),
  );
}

/**
 * Why a file need not be sent at all, or nothing.
 *
 * @returns {string} one sentence that says what to do.
 */
export function refuse(files, info) {
  const [file] = files;
  if (files.length > 1) {
    return `These are ${files.length} files: drop one at a time.`;
  }
  const limit = info?.limits?.bytes;
  if (limit && file.size > limit) {
    return (
      `${file.name} has ${bytes(file.size)}, and the service takes ` +
      `${bytes(limit)}: save it as binary STL or with fewer faces.`
    );
  }
  const end = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
  if (info?.formats?.length && !info.formats.includes(end)) {
    return (
      `${file.name} is no model file that dr3d reads: save it as one of ` +
      `${info.formats.join(", ")}.`
    );
  }
  if (!file.size) return `${file.name} is empty: choose another file.`;
  return "";
}

function describe(info) {
  if (!info) return "";
  const names = info.formats.map((end) => end.slice(1).toUpperCase());
  const most = info.limits?.bytes;
  return names.join(", ") + (most ? `; up to ${bytes(most)}` : "");
}
