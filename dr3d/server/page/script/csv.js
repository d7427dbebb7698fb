/** Answers as a table that spreadsheets read. */

import { h, save } from "./element.js";
import { describeRegistration, toStem } from "./format.js";
import { judge } from "./verdict.js";

const START = "\ufeff"; // without it Excel takes the text for Latin-1

/** A button that saves answers. @param {function(): Object[]} read answers. */
export function createCsvButton(read, name) {
  return h(
    "button",
    {
      type: "button",
      onclick() {
        const blob = new Blob([START, toCsv(read())], { type: "text/csv" });
        save(URL.createObjectURL(blob), name);
      },
    },
    "Save as CSV",
  );
}

/** A row for each match of each answer. */
function toCsv(answers) {
  const keys = new Set();
  for (const { matches } of answers) {
    for (const { metadata } of matches) {
      for (const key of Object.keys(metadata ?? {})) keys.add(key);
    }
  }
  const head = [
    ..."query verdict rank name class".split(" "),
    ...keys,
    ..."length_mm width_mm height_mm comparison class_probability".split(" "),
    ..."score votes file".split(" "),
  ];
  const rows = answers.flatMap((answer) => {
    const { title } = judge(answer);
    const { probability } = answer.prediction;
    if (!answer.matches.length) return [[toText(answer.query), title]];
    return answer.matches.map((match) => [
      toText(answer.query),
      title,
      match.rank,
      toText(toStem(match.model)),
      toText(match.label),
      ...[...keys].map((key) => toText(match.metadata?.[key] ?? "")),
      ...(match.extent ?? ["", "", ""]).map(round),
      describeRegistration(match),
      round(probability),
      round(match.score),
      match.votes,
      toText(match.model),
    ]);
  });
  return [head.map(toText), ...rows]
    .map((row) => row.map(quote).join(","))
    .join("\r\n");
}

function round(value) {
  return typeof value === "number" ? Number(value.toPrecision(5)) : value;
}

/** Text that a spreadsheet does not take for a formula. */
function toText(text) {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
}

function quote(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
