/** A model looked for in a photograph: the picture with only the model lit. */

import { locate } from "./api.js";
import { h, replaceContent } from "./element.js";
import { announce, failure, notice, waiting } from "./notice.js";

/**
 * A field that takes a photograph, on a phone from the camera, and shows where
 * the model is in it.
 *
 * @param {string} name of the model.
 * @returns {Object} `element`; `leave()` stops a request.
 */
export function createLocate(name) {
  const page = { name, stop: new AbortController() };
  page.place = h("div", { class: "located" });
  page.input = h("input", {
    type: "file",
    id: "locate-picture",
    class: "visually-hidden",
    accept: "image/jpeg,image/png,image/webp",
    onchange: () => {
      const [file] = page.input.files;
      page.input.value = "";
      if (file) search(page, file);
    },
  });
  page.element = h(
    "section",
    { class: "locate", "aria-labelledby": "locate-title" },
    h("h2", { id: "locate-title" }, "Find it in a photograph"),
    h(
      "p",
      { class: "actions" },
      page.input,
      h("label", { for: "locate-picture", class: "button" }, "Choose a photo"),
    ),
    page.place,
  );
  page.leave = () => page.stop.abort();
  return page;
}

async function search(page, file) {
  page.stop.abort();
  page.stop = new AbortController();
  const { signal } = page.stop;
  replaceContent(page.place, waiting(`Searching ${file.name}`));
  announce(`Searching ${file.name}`);
  try {
    const found = await locate(file, page.name, { signal });
    if (!signal.aborted) show(page, file, found);
  } catch (error) {
    if (signal.aborted) return;
    const again = () => search(page, file);
    replaceContent(
      page.place,
      failure(error, "The photo was not searched", again),
    );
  }
}

function show({ place }, file, found) {
  const { instances } = found;
  const words = instances.length
    ? `Found ${instances.length === 1 ? "once" : `${instances.length} times`}`
    : "Not in this photo";
  const image = h("img", {
    src: found.highlight,
    alt: `${file.name}: ${words.toLowerCase()}`,
    width: found.width,
    height: found.height,
  });
  const button = h("button", { type: "button", "aria-pressed": "false" }, "Heat map");
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    image.src = on ? found.heat : found.highlight;
  });
  replaceContent(
    place,
    notice(instances.length ? "success" : "info", words, describe(found)),
    image,
    h("p", { class: "actions" }, button),
  );
  announce(words);
}

function describe({ instances }) {
  if (!instances.length) {
    return "Try a photo in which the part is larger and in focus.";
  }
  return instances
    .map(({ score }) => `${Math.round(100 * score)} % sure`)
    .join(", ");
}
