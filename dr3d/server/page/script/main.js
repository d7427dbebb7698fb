/** Shows the page that the URL names, and accepts files dropped anywhere. */

import { showAnswer } from "./answer.js";
import { showCatalogue } from "./catalogue.js";
import { showDatabase } from "./database.js";
import * as drop from "./drop.js";
import { showDuplicates } from "./duplicate.js";
import { h, replaceContent } from "./element.js";
import { closeFacets } from "./facet.js";
import { storeFile } from "./file_store.js";
import { showModel } from "./model.js";
import { notice } from "./notice.js";
import { showPhoto } from "./photo.js";
import { format, navigate, parse } from "./route.js";
import { showSearch } from "./search.js";
import { showSeveral } from "./several.js";
import { info, watch } from "./state.js";
import * as theme from "./theme.js";

const PAGES = {
  search: showSearchPage,
  query: showAnswer,
  like: showAnswer,
  several: showSeveral,
  photo: showPhoto,
  models: showCatalogue,
  model: showModel,
  duplicates: showDuplicates,
  database: showDatabase,
};
const PARENT_PAGE = {
  query: "search",
  like: "search",
  several: "search",
  photo: "search",
  model: "models",
};

const main = document.getElementById("main");
let page = null;
let shown = "";
let problem = "";

/** Shows the page of the URL. */
function showRoute() {
  const route = parse(location.hash);
  const key = `${route.page} ${route.name}`;
  if (key === shown && page.update(route)) return;
  const first = !shown;
  page?.leave();
  shown = key;
  const show = PAGES[route.page] ?? showNotFound;
  page = show(main, route, { again: restart });
  for (const link of document.querySelectorAll("#pages a")) {
    const here = link.dataset.page === (PARENT_PAGE[route.page] ?? route.page);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (first) return;
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function restart() {
  shown = " ";
  showRoute();
}

function showSearchPage(place, route, { again }) {
  const shownProblem = problem;
  problem = "";
  return showSearch(place, { accept, again, problem: shownProblem });
}

function showNotFound(place) {
  document.title = "dr3d";
  replaceContent(
    place,
    h("h1", { class: "visually-hidden" }, "No such page"),
    notice(
      "warning",
      "No such page",
      "This URL is not a page of dr3d: check it, or start a new search.",
      h("a", { class: "button primary", href: "#/" }, "Search"),
    ),
  );
  return { update: () => false, leave() {} };
}

/** Searches with a file. */
async function accept(files) {
  if (!files.length) return;
  let known = null;
  try {
    known = await info();
  } catch {
    // The page of the answer reports that the service does not respond.
  }
  problem = drop.checkFiles(files, known);
  if (!problem && files.length === 1 && !drop.arePhotographs(files)) {
    return navigate(format("query", await storeFile(files[0])));
  }
  if (!problem && drop.arePhotographs(files)) {
    const keys = [];
    for (const file of files) keys.push(await storeFile(file));
    return navigate(format("photo", "", { file: keys }));
  }
  if (!problem) {
    const keys = [];
    for (const file of files) keys.push(await storeFile(file));
    return navigate(format("several", "", { file: keys }));
  }
  if (parse(location.hash).page === "search") restart();
  else navigate("#/");
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("keydown", (event) => {
  const close = document.getElementById("close-match");
  if (event.key === "Escape" && close) navigate(close.getAttribute("href"));
});
window.addEventListener("hashchange", showRoute);
document.addEventListener("click", closeFacets);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeFacets(event);
});
theme.attach(document.getElementById("theme"));
drop.attach(document.getElementById("drop-overlay"), accept);
showRoute();
watch();
