/** Several files at once, each with the head of its answer. */

import { getAnswer } from "./answer_store.js";
import { createCsvButton } from "./csv.js";
import { createImage, h, replaceContent } from "./element.js";
import { findFile } from "./file_store.js";
import { describeRegistration, plural } from "./format.js";
import { announce, waiting } from "./notice.js";
import { urls } from "./api.js";
import { format, parse } from "./route.js";
import { info, untilReady } from "./state.js";
import { describeModel, judge } from "./verdict.js";

const AT_ONCE = 2; // requests; the service reads one file per processor

/** Shows the page; see `answer.showAnswer`. */
export function showSeveral(place, route) {
  document.title = "dr3d: several files";
  const keys = route.parameters.getAll("file");
  const page = { gone: false, stop: new AbortController(), answers: new Map() };
  const rows = keys.map((key) => ({
    key,
    element: h("li", { class: "row" }, waiting("Waiting")),
  }));
  const status = h("p", { class: "muted", role: "status" });
  const print = h("button", { type: "button" }, "Print");
  print.addEventListener("click", () => window.print());
  const tell = (done) => {
    status.textContent =
      done < keys.length
        ? `${done} of ${plural(keys.length, "file")} answered`
        : `All ${plural(keys.length, "file")} answered`;
  };
  replaceContent(
    place,
    h(
      "div",
      { class: "answer-head" },
      h("h1", {}, `Answers for ${plural(keys.length, "file")}`),
      h(
        "p",
        { class: "actions" },
        h("a", { class: "button", href: "#/" }, "New search"),
        createCsvButton(
          () => keys.map((key) => page.answers.get(key)).filter(Boolean),
          "matches.csv",
        ),
        print,
      ),
    ),
    status,
    h(
      "ol",
      { class: "rows" },
      rows.map(({ element }) => element),
    ),
  );
  run(page, rows, tell).catch((error) => {
    if (error.name !== "AbortError" && !page.gone) announce(error.message);
  });
  return {
    update: () => false,
    leave() {
      page.gone = true;
      page.stop.abort();
    },
  };
}

async function run(page, rows, tell) {
  let done = 0;
  tell(done);
  await untilReady(page.stop.signal, () => announce("The service warms up"));
  page.info = await info();
  const left = [...rows];
  const work = async () => {
    for (let row = left.shift(); row && !page.gone; row = left.shift()) {
      await fill(page, row);
      tell(++done);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (!page.gone) announce(`All ${plural(rows.length, "file")} answered`);
}

async function fill(page, { key, element }) {
  const file = await findFile(key);
  if (!file) {
    const text = "This browser stores only the latest files: drop it again.";
    replaceContent(element, createProblem("The file is gone", text));
    return;
  }
  replaceContent(element, waiting(`Searching with ${file.name}`));
  const route = parse(format("query", key));
  try {
    const answer = await getAnswer(route, file, { signal: page.stop.signal });
    if (page.gone) return;
    page.answers.set(key, answer);
    drawRow(element, key, file, answer, page.info.shown);
  } catch (error) {
    if (error.name === "AbortError" || page.gone) return;
    replaceContent(element, createProblem(file.name, error.message));
  }
}

function createProblem(title, text) {
  return h(
    "div",
    { class: "row-text" },
    h("h2", {}, title),
    h("p", { class: "problem" }, text),
  );
}

function drawRow(element, key, file, answer, shown) {
  const best = answer.matches[0];
  const { kind, title } = judge(answer);
  element.classList.add(kind);
  const href = format("query", key);
  replaceContent(
    element,
    h(
      "div",
      { class: "faces" },
      createImage(answer.shape.picture, { size: 96, lazy: false }),
      best && createImage(urls.picture(best.model), { size: 96, lazy: false }),
    ),
    h(
      "div",
      { class: "row-text" },
      h("p", { class: "role" }, file.name),
      h("p", { class: "verdict" }, title),
      best && [
        ...describeModel(best, shown),
        h("p", { class: "size" }, describeRegistration(best)),
      ],
    ),
    h(
      "a",
      { class: "button", href, "aria-label": `All matches of ${file.name}` },
      "All matches",
    ),
  );
}
