/** Elements of the page, made from plain text only: no HTML is ever parsed. */

const TRIES = 3; // of a picture, while the service is busy
const PAUSE = 1500; // milliseconds before the next

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Object} attributes attributes and properties by name; `onclick` and
 *   its like take a function; null, undefined and false leave one out.
 * @param {...*} children elements, text, lists of them; null is left out.
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
  put(element, ...children);
  return element;
}

/** Appends children as `h` takes them. */
export function put(element, ...children) {
  element.append(
    ...children.flat(Infinity).filter((child) => child || child === 0),
  );
  return element;
}

/** Puts children in the place of those that an element has. */
export function refill(element, ...children) {
  element.replaceChildren();
  return put(element, ...children);
}

/** Text that may be broken after each of the signs that names are made of. */
export function breakable(text) {
  return text
    .split(/(?<=[_\-./])/)
    .flatMap((part, k) => (k ? [document.createElement("wbr"), part] : part));
}

/** A picture that takes its place before it is loaded. */
export function picture(source, { alt = "", size = 96, lazy = true } = {}) {
  const image = h("img", {
    alt,
    width: size,
    height: size,
    loading: lazy ? "lazy" : null,
    decoding: "async",
    src: source,
  });
  let tries = 0;
  image.addEventListener("error", () => {
    // What cannot be drawn leaves an empty tile, not a broken sign.
    image.classList.add("absent");
    if (++tries > TRIES || !image.isConnected) return;
    setTimeout(() => (image.src = source), PAUSE * tries * (1 + Math.random()));
  });
  image.addEventListener("load", () => image.classList.remove("absent"));
  return image;
}
