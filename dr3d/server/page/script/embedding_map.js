/** A map of the models by their vectors: near each other if they look alike. */

import { getMap } from "./api.js";
import { h, replaceContent } from "./element.js";
import { count, percent, plural, toWords } from "./format.js";
import { failure, waiting } from "./notice.js";
import { format, navigate } from "./route.js";

const SVG = "http://www.w3.org/2000/svg";
const SIDE = 640; // of the drawing, its own units
const MARGIN = 12;
const RADIUS = 5;
const NAMED = 12; // classes with a colour of their own
// Degrees of hue from one class to the next: the golden angle, by which
// neighbours in the legend differ most.
const TURN = 137.5;
const REST = "#8a949f"; // readable on light and on dark

/** A section whose map is loaded when it is opened. */
export function createMap() {
  const place = h("div", { class: "map" });
  const box = h(
    "details",
    { class: "map-box" },
    h("summary", {}, "Map of the models"),
    h(
      "p",
      { class: "muted" },
      "Each point is a model. Models that look alike to the network are near " +
        "each other. Click a point to see the model.",
    ),
    place,
  );
  box.addEventListener("toggle", () => {
    if (box.open && !place.hasChildNodes()) load(place);
  });
  return box;
}

async function load(place) {
  replaceContent(place, waiting("Loading"));
  try {
    draw(place, await getMap());
  } catch (error) {
    replaceContent(place, failure(error, "The map cannot be shown", () => load(place)));
  }
}

function draw(place, { points, share, total }) {
  const classes = countClasses(points);
  const colors = new Map(
    classes
      .slice(0, NAMED)
      .map(([label], k) => [
        label,
        `hsl(${Math.round((k * TURN) % 360)} 60% ${45 + 10 * (k % 2)}%)`,
      ]),
  );
  replaceContent(
    place,
    drawPoints(points, colors),
    h(
      "ul",
      { class: "legend" },
      classes.slice(0, NAMED).map(([label, number]) =>
        h(
          "li",
          {},
          drawSwatch(colors.get(label)),
          h("a", { href: format("models", "", { label }) }, toWords(label)),
          ` ${count(number)}`,
        ),
      ),
      classes.length > NAMED &&
        h("li", {}, drawSwatch(REST), "other classes, and models without one"),
    ),
    h(
      "p",
      { class: "muted" },
      (points.length < total
        ? `${count(points.length)} of ${count(total)} models. `
        : `${plural(total, "model", "models")}. `) +
        `The two axes show ${percent(share)} of the differences.`,
    ),
  );
}

/** Classes and their number of points, the largest first. */
function countClasses(points) {
  const counts = new Map();
  for (const { label } of points) {
    if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort(
    ([a, many], [b, few]) => few - many || a.localeCompare(b),
  );
}

function drawPoints(points, colors) {
  const picture = element("svg", {
    viewBox: `0 0 ${SIDE} ${SIDE}`,
    role: "img",
    "aria-label": `Map of ${plural(points.length, "model", "models")}`,
  });
  const half = SIDE / 2 - MARGIN;
  for (const { model, label, x, y } of points) {
    const point = element("circle", {
      cx: (SIDE / 2 + half * x).toFixed(1),
      cy: (SIDE / 2 - half * y).toFixed(1),
      r: RADIUS,
      fill: colors.get(label) ?? REST,
    });
    const title = element("title", {});
    title.textContent = label ? `${model} (${toWords(label)})` : model;
    point.append(title);
    point.addEventListener("click", () => navigate(format("model", model)));
    picture.append(point);
  }
  return picture;
}

function drawSwatch(color) {
  const picture = element("svg", {
    viewBox: "0 0 10 10",
    class: "swatch",
    "aria-hidden": "true",
  });
  picture.append(element("circle", { cx: 5, cy: 5, r: 5, fill: color }));
  return picture;
}

function element(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  return made;
}
