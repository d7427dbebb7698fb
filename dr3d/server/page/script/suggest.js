/** A field that finds a model by number, name or words, with pictures. */

import { listModels, urls } from "./api.js";
import { createImage, h, replaceContent } from "./element.js";
import { count, toStem, toWords } from "./format.js";
import { format, navigate } from "./route.js";

const TYPING_PAUSE = 150; // milliseconds, before a request is sent
const MAX_SUGGESTIONS = 8;

/**
 * Makes the field; choosing a model shows it.
 *
 * @param {string[]} shown keys of the metadata to show.
 */
export function createSuggest(shown) {
  const list = h("ul", { role: "listbox", id: "known-list", hidden: true });
  const input = h("input", {
    type: "search",
    id: "known",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-expanded": "false",
    "aria-controls": "known-list",
    "aria-autocomplete": "list",
    placeholder: "Part number, name or any words",
  });
  const status = h("p", { class: "hint", role: "status" });
  let timer = 0;
  let controller = null;
  let active = -1;

  const choose = (item) => navigate(item.dataset.hash);
  const showAll = () => format("models", "", { text: input.value.trim() });

  function select(number) {
    const items = [...list.children];
    active = items.length ? (number + items.length) % items.length : -1;
    items.forEach((item, k) =>
      item.setAttribute("aria-selected", String(k === active)),
    );
    const item = items[active];
    item?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", item?.id ?? "");
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.setAttribute("aria-activedescendant", "");
    active = -1;
  }

  async function suggest() {
    controller?.abort();
    const text = input.value.trim();
    if (!text) return close();
    controller = new AbortController();
    const { signal } = controller;
    try {
      const conditions = { text, state: "indexed", limit: MAX_SUGGESTIONS };
      const { models, total } = await listModels(conditions, signal);
      const option = (k, attributes, ...children) => {
        const item = h(
          "li",
          {
            role: "option",
            id: `known-${k}`,
            onpointerdown: (event) => event.preventDefault(),
            onclick: () => choose(item),
            ...attributes,
          },
          children,
        );
        return item;
      };
      replaceContent(
        list,
        models.map(({ model, label, metadata }, k) =>
          option(
            k,
            { "data-model": model, "data-hash": format("model", model) },
            createImage(urls.thumbnail(model), { size: 44, lazy: false }),
            h(
              "span",
              { class: "suggestion" },
              h("span", { class: "suggestion-name" }, toStem(model)),
              h(
                "span",
                { class: "muted" },
                [toWords(label), ...shown.map((key) => metadata[key])]
                  .filter(Boolean)
                  .join(" · "),
              ),
            ),
          ),
        ),
        total > models.length &&
          option(
            models.length,
            { class: "all", "data-hash": showAll() },
            `Show all ${count(total)}`,
          ),
      );
      list.hidden = !models.length;
      input.setAttribute("aria-expanded", String(models.length > 0));
      select(0);
      status.textContent = models.length
        ? ""
        : "No part has these words: try fewer, or only the begin of a word.";
    } catch (error) {
      if (error.name !== "AbortError") status.textContent = error.message;
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(suggest, TYPING_PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.key === "ArrowDown") select(active + 1);
    else if (event.key === "ArrowUp") select(active - 1);
    else if (event.key === "Enter" && active >= 0) {
      choose(list.children[active]);
    } else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => setTimeout(close, 150));
  return h(
    "div",
    { class: "suggest" },
    h("label", { for: "known" }, "Or find a part by number, name or words"),
    input,
    list,
    status,
  );
}
