/** A field that completes the name of a model. */

import { listModels } from "./api.js";
import { h, replaceContent } from "./element.js";
import { format, navigate } from "./route.js";

const TYPING_PAUSE = 150; // milliseconds, before a request is sent
const MAX_SUGGESTIONS = 8;

/** Makes the field; choosing a model starts a search. */
export function createSuggest() {
  const list = h("ul", { role: "listbox", id: "known-list", hidden: true });
  const input = h("input", {
    type: "text",
    id: "known",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-expanded": "false",
    "aria-controls": "known-list",
    "aria-autocomplete": "list",
    placeholder: "Part of the name or label",
  });
  const status = h("p", { class: "hint", role: "status" });
  let timer = 0;
  let controller = null;
  let active = -1;

  const choose = (name) => navigate(format("like", name));

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
      replaceContent(
        list,
        models.map(({ model, label }, k) =>
          h(
            "li",
            {
              role: "option",
              id: `known-${k}`,
              "data-model": model,
              onpointerdown: (event) => event.preventDefault(),
              onclick: () => choose(model),
            },
            h("span", {}, model),
            h("span", { class: "muted" }, label),
          ),
        ),
      );
      list.hidden = !models.length;
      input.setAttribute("aria-expanded", String(models.length > 0));
      select(0);
      status.textContent = models.length
        ? total > models.length
          ? `The first ${models.length} of ${total}: keep typing.`
          : ""
        : "No indexed model has this name.";
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
      choose(list.children[active].dataset.model);
    } else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => setTimeout(close, 150));
  return h(
    "div",
    { class: "suggest" },
    h("label", { for: "known" }, "Or search with a model of the database"),
    input,
    list,
    status,
  );
}
