/** Leads from the address to a page, and takes files wherever they fall. */

import { showAnswer } from "./answer.js";
import { showCatalogue } from "./catalogue.js";
import { showDatabase } from "./database.js";
import * as drop from "./drop.js";
import { showDuplicates } from "./duplicate.js";
import { h, refill } from "./element.js";
import { keep } from "./keep.js";
import { showModel } from "./model.js";
import { notice } from "./notice.js";
import { format, go, parse } from "./route.js";
import { showSearch } from "./search.js";
import { info, watch } from "./state.js";
import * as theme from "./theme.js";

const PAGES = {
  search: showSearchPage,
  query: showAnswer,
  like: showAnswer,
  models: showCatalogue,
  model: showModel,
  duplicates: showDuplicates,
  database: showDatabase,
};
const HOME = { query: "search", like: "search", model: "models" };

const main = document.getElementById("main");
let page = null;
let shown = "";
let problem = "";

/** Shows what the address says. */
function lead() {
  const route = parse(location.hash);
  const key = `${route.page} ${route.name}`;
  if (key === shown && page.update(route)) return;
  const first = !shown;
  page?.leave();
  shown = key;
  const show = PAGES[route.page] ?? showNothing;
  page = show(main, route, { again: restart });
  for (const link of document.querySelectorAll("#pages a")) {
    const here = link.dataset.page === (HOME[route.page] ?? route.page);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (first) return;
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function restart() {
  shown = " ";
  lead();
}

function showSearchPage(place, route, { again }) {
  const told = problem;
  problem = "";
  return showSearch(place, { take, again, problem: told });
}

function showNothing(place) {
  document.title = "dr3d";
  refill(
    place,
    h("h1", { class: "unseen" }, "No such page"),
    notice(
      "warning",
      "No such page",
      "The address names no page of dr3d: check it, or start anew.",
      h("a", { class: "button main", href: "#/" }, "Search"),
    ),
  );
  return { update: () => false, leave() {} };
}

/** Searches with a file. */
async function take(files) {
  if (!files.length) return;
  let known = null;
  try {
    known = await info();
  } catch {
    // The answer's page tells that the service is silent.
  }
  problem = drop.refuse(files, known);
  if (!problem) return go(format("query", await keep(files[0])));
  if (parse(location.hash).page === "search") restart();
  else go("#/");
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("keydown", (event) => {
  const close = document.getElementById("close-match");
  if (event.key === "Escape" && close) go(close.getAttribute("href"));
});
window.addEventListener("hashchange", lead);
theme.attach(document.getElementById("theme"));
drop.attach(document.getElementById("veil"), take);
lead();
watch();
