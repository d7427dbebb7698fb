/** A field that completes the name of a known model. */

import { listModels } from "./api.js";
import { h, refill } from "./element.js";
import { format, go } from "./route.js";

const PAUSE = 150; // milliseconds without a key, before the service is asked
const MOST = 8;

/** Makes the field; a chosen model is searched from at once. */
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
    placeholder: "Part of its name",
  });
  const told = h("p", { class: "hint", role: "status" });
  let timer = 0;
  let asked = null;
  let active = -1;

  const choose = (name) => go(format("like", name));

  function mark(number) {
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

  async function look() {
    asked?.abort();
    const text = input.value.trim();
    if (!text) return close();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const conditions = { text, state: "indexed", limit: MOST };
      const { models, total } = await listModels(conditions, signal);
      refill(
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
            h("span", { class: "faint" }, label),
          ),
        ),
      );
      list.hidden = !models.length;
      input.setAttribute("aria-expanded", String(models.length > 0));
      mark(0);
      told.textContent = models.length
        ? total > models.length
          ? `The first ${models.length} of ${total}: type on.`
          : ""
        : "No model of the database is called so.";
    } catch (error) {
      if (error.name !== "AbortError") told.textContent = error.message;
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.key === "ArrowDown") mark(active + 1);
    else if (event.key === "ArrowUp") mark(active - 1);
    else if (event.key === "Enter" && active >= 0) {
      choose(list.children[active].dataset.model);
    } else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => setTimeout(close, 150));
  return h(
    "div",
    { class: "suggest" },
    h("label", { for: "known" }, "Or start from a known model"),
    input,
    list,
    told,
  );
}
