/** The catalogue in pages, found by words and by the values of its columns. */

import { listModels } from "./api.js";
import { createTile } from "./card.js";
import { createChangeButton, mayChange, openAdd } from "./edit.js";
import { createFacets } from "./facet.js";
import { choice } from "./filter.js";
import { h, replaceContent } from "./element.js";
import { count, extent, plural } from "./format.js";
import { failure, notice, announce, waiting } from "./notice.js";
import { withParameters, navigate, replace } from "./route.js";
import { info, STATES } from "./state.js";

const PAGE_SIZE = 48; // models
const TYPING_PAUSE = 250; // milliseconds, before the list follows the text

/** Shows the page; see `answer.showAnswer`. */
export function showCatalogue(place, route) {
  document.title = "dr3d: catalogue";
  const page = { route, stop: new AbortController() };
  page.form = h("div", {});
  page.facets = h("div", { class: "facets" });
  page.actions = h("p", { class: "actions" });
  page.list = h("div", { "aria-busy": "true" });
  replaceContent(
    place,
    h("div", { class: "answer-head" }, h("h1", {}, "Catalogue"), page.actions),
    page.form,
    page.list,
  );
  fillForm(page);
  fillList(page);
  return {
    update(next) {
      if (next.page !== "models") return false;
      const isOtherPage = number(next) !== number(page.route);
      page.route = next;
      fillList(page);
      syncForm(page);
      if (isOtherPage) {
        window.scrollTo(0, 0);
        place.focus({ preventScroll: true });
      }
      return true;
    },
    leave() {
      clearTimeout(page.timer); // else it would come back to this page
      page.stop.abort();
    },
  };
}

async function fillForm(page) {
  let known;
  try {
    known = await info();
  } catch {
    return; // the list shows the error
  }
  page.known = known;
  replaceContent(
    page.actions,
    mayChange(known) &&
      createChangeButton(known, "Add parts", () =>
        openAdd(known, () => {
          fillForm(page);
          fillList(page);
        }),
      ),
  );
  const value = (name) => page.route.parameters.get(name) ?? "";
  const set = (changes) =>
    navigate(withParameters(page.route, { ...changes, page: "" }));
  const field = (name, attributes) => {
    const input = h("input", {
      name,
      autocomplete: "off",
      value: value(name),
      ...attributes,
    });
    input.addEventListener("input", () => {
      clearTimeout(page.timer);
      page.timer = setTimeout(() => {
        const changes = { [name]: input.value.trim(), page: "" };
        replace(withParameters(page.route, changes));
      }, TYPING_PAUSE);
    });
    return input;
  };
  const select = (name, label, first, options) => {
    const list = choice(label, value(name), [["", first], ...options], (one) =>
      set({ [name]: one }),
    );
    list.name = name;
    return list;
  };
  const form = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Filter the models" },
    field("text", {
      type: "search",
      placeholder: "Part number, name or any words",
      "aria-label": "Part number, name or any words",
    }),
    page.facets,
    hasSeveralStates(known) &&
      select(
        "state",
        "State",
        "All states",
        Object.entries(STATES).map(([state, words]) => [
          state,
          `${words} (${known.counts[state]})`,
        ]),
      ),
    h(
      "span",
      { class: "range" },
      "Longest side",
      field("smallest", {
        type: "number",
        min: "0",
        step: "any",
        placeholder: "from",
        "aria-label": "Longest side from, in mm",
      }),
      field("largest", {
        type: "number",
        min: "0",
        step: "any",
        placeholder: "to",
        "aria-label": "Longest side to, in mm",
      }),
      "mm",
    ),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  replaceContent(page.form, form);
}

function hasSeveralStates({ counts }) {
  return Object.values(counts).filter(Boolean).length > 1;
}

/** Fields follow the URL after a step back. */
function syncForm({ form, route }) {
  for (const field of form.querySelectorAll("input[name], select[name]")) {
    if (field !== document.activeElement) {
      field.value = route.parameters.get(field.name) ?? "";
    }
  }
}

/** Number of the page that a URL names, from 1. */
function number({ parameters }) {
  return Math.max(1, Number.parseInt(parameters.get("page"), 10) || 1);
}

async function fillList(page) {
  page.stop.abort();
  page.stop = new AbortController();
  const { list, route, stop } = page;
  const get = (name) => route.parameters.get(name) ?? "";
  const at = number(route);
  list.setAttribute("aria-busy", "true");
  if (!list.firstChild) replaceContent(list, waiting("Loading the catalogue"));
  try {
    const { total, models, columns } = await listModels(
      {
        text: get("text"),
        label: route.parameters.getAll("label"),
        where: route.parameters.getAll("where"),
        columns: true,
        state: get("state"),
        smallest: get("smallest"),
        largest: get("largest"),
        offset: (at - 1) * PAGE_SIZE,
        limit: PAGE_SIZE,
      },
      stop.signal,
    );
    page.known ??= await info();
    drawFacets(page, columns);
    drawList(page, models, total, at);
  } catch (error) {
    if (error.name === "AbortError") return;
    replaceContent(
      list,
      failure(error, "The models cannot be listed", () => fillList(page)),
    );
  }
  list.setAttribute("aria-busy", "false");
}

function drawFacets({ facets, route, known }, columns) {
  const open = facets.querySelector("[open]")?.dataset.column;
  const set = (changes) =>
    navigate(withParameters(route, { ...changes, page: "" }));
  const lists = createFacets(columns, route, set, known.shown);
  for (const list of lists) list.open = list.dataset.column === open;
  replaceContent(facets, lists);
}

function drawList({ list, route, known }, models, total, at) {
  const pages = Math.max(1, Math.ceil(total / PAGE_SIZE));
  announce(`${plural(total, "part")}, page ${at} of ${pages}`);
  if (!models.length) {
    const narrow = narrowed(route);
    replaceContent(
      list,
      notice(
        "info",
        narrow ? "No part found" : "The catalogue is empty",
        narrow
          ? "No part has these words and values: use fewer, or others."
          : "Add parts here, or index a folder with dr3d index.",
        ...(narrow
          ? [h("a", { class: "button", href: "#/models" }, "Clear filters")]
          : []),
      ),
    );
    return;
  }
  replaceContent(
    list,
    h(
      "p",
      { class: "muted total" },
      describeTotal(total, known, route),
      narrowed(route) &&
        h("a", { class: "button", href: "#/models" }, "Clear filters"),
    ),
    h(
      "ul",
      { class: "tiles" },
      models.map((model) =>
        createTile(
          model,
          known.shown,
          h(
            "span",
            { class: "muted" },
            model.state === "failed" ? model.reason : extent(model.extent),
          ),
          ["missing", "outdated"].includes(model.state) &&
            h("span", { class: "badge" }, STATES[model.state]),
        ),
      ),
    ),
    pages > 1 && createPager(route, at, pages),
  );
}

function narrowed({ parameters }) {
  return [...parameters.keys()].some((name) => name !== "page");
}

/** The total, and how many of it a search can find. */
function describeTotal(total, { counts }, route) {
  const words = plural(total, "part");
  const hidden = total - counts.indexed;
  if (narrowed(route) || hidden <= 0) return words;
  return `${words}, of which ${count(hidden)} cannot be found by shape`;
}

function createPager(route, at, pages) {
  const near = [1, at - 1, at, at + 1, pages];
  const shown = [...new Set(near)].filter((one) => one >= 1 && one <= pages);
  const link = (to, text, label) =>
    h(
      "a",
      {
        class: "button",
        href: withParameters(route, { page: to === 1 ? "" : String(to) }),
        "aria-label": label ?? `Page ${to}`,
        "aria-current": text === to && to === at ? "page" : null,
      },
      text,
    );
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages of the catalogue" },
    at > 1 && link(at - 1, "‹ Previous", "Previous page"),
    shown.map((one, k) => [
      k > 0 && one - shown[k - 1] > 1 && h("span", {}, "…"),
      link(one, one),
    ]),
    at < pages && link(at + 1, "Next ›", "Next page"),
  );
}
