/** Makes elements from plain text; no HTML is ever parsed. */

import { authorization } from "./token.js";

const MAX_RETRIES = 3; // of an image, while the service is busy
const RETRY_DELAY = 1500; // milliseconds, times the number of the retry

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Object} attributes attributes and properties by name; `onclick`
 *   and the like take a function; null, undefined and false are left out.
 * @param {...*} children elements, text, or lists of them; null is left out.
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.replace(/^on/, ""), value);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(element, ...children);
  return element;
}

/** Appends children, as `h` accepts them. */
export function append(element, ...children) {
  element.append(
    ...children.flat(Infinity).filter((child) => child || child === 0),
  );
  return element;
}

/** Replaces the children of an element. */
export function replaceContent(element, ...children) {
  element.replaceChildren();
  return append(element, ...children);
}

/** Text with line-break opportunities after the separators of file names. */
export function insertBreaks(text) {
  return text
    .split(/(?<=[_\-./])/)
    .flatMap((part, k) => (k ? [document.createElement("wbr"), part] : part));
}

/** An image of fixed size, so that the page does not move when it loads. */
export function createImage(source, { alt = "", size = 96, lazy = true } = {}) {
  const image = h("img", {
    alt,
    width: size,
    height: size,
    loading: lazy ? "lazy" : null,
    decoding: "async",
  });
  let tries = 0;
  const load = async () => {
    const url = await authorize(source);
    image.src = url;
    if (url.startsWith("blob:")) {
      await image.decode().catch(() => {});
      URL.revokeObjectURL(url);
    }
  };
  image.addEventListener("error", () => {
    // An empty tile instead of the browser's broken-image icon.
    image.classList.add("absent");
    if (++tries > MAX_RETRIES || !image.isConnected) return;
    setTimeout(load, RETRY_DELAY * tries * (1 + Math.random()));
  });
  image.addEventListener("load", () => image.classList.remove("absent"));
  load();
  return image;
}

/** A link that saves a file of the service. */
export function createDownload(source, name, text) {
  const link = h("a", { class: "button", href: source, download: name }, text);
  link.addEventListener("click", async (event) => {
    if (!authorization().Authorization) return;
    event.preventDefault();
    save(await authorize(source), name);
  });
  return link;
}

/** Saves what a URL names. */
export function save(url, name) {
  h("a", { href: url, download: name }).click();
  if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 1e4);
}

/** A URL that an element may load: a browser sends no token for an image. */
async function authorize(source) {
  const headers = authorization();
  if (!headers.Authorization || source.startsWith("data:")) return source;
  try {
    const response = await fetch(source, { headers });
    if (!response.ok) return source; // its error is handled there
    return URL.createObjectURL(await response.blob());
  } catch {
    return source;
  }
}
