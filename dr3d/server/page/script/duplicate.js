/** Groups of models of the same shape. */

import { getDuplicates } from "./api.js";
import { createTile } from "./card.js";
import { h, replaceContent } from "./element.js";
import { measure, percent, plural } from "./format.js";
import { failure, notice, announce, waiting } from "./notice.js";
import { withParameters, format } from "./route.js";

const POLL_INTERVAL = 1500; // milliseconds
const MAX_SHOWN = 30; // groups at first; each loads its thumbnails
const MEANINGS = {
  identical: "the same triangles at the same size",
  same: "the same surface in another mesh, format or pose",
  scaled: "the same surface in another size",
  mirrored: "the mirror image",
  similar: "surfaces that nearly coincide at one size",
};

/** Shows the page; see `answer.showAnswer`. */
export function showDuplicates(place, route, { again }) {
  document.title = "dr3d: duplicates";
  const page = { route, groups: null, gone: false };
  const body = h("div", {});
  replaceContent(
    place,
    h("h1", {}, "Duplicates"),
    h(
      "p",
      { class: "intro" },
      "Models of the same shape. Nothing is changed: check each pair " +
        "before you delete a file.",
    ),
    body,
  );
  load(page, body).catch((error) => {
    if (!page.gone)
      replaceContent(body, failure(error, "Comparison failed", again));
  });
  return {
    update(next) {
      if (next.page !== "duplicates") return false;
      page.route = next;
      if (page.groups) draw(page, body);
      return true;
    },
    leave() {
      page.gone = true;
    },
  };
}

async function load(page, body) {
  const line = waiting("Comparing the models");
  replaceContent(body, line);
  announce("Comparing the models");
  for (;;) {
    const { ready, done, total, groups } = await getDuplicates();
    if (page.gone) return;
    if (ready !== false) {
      page.groups = groups;
      break;
    }
    if (total) {
      line.lastChild.textContent = `Comparing the models: ${percent(
        done / total,
      )}`;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
    if (page.gone) return;
  }
  draw(page, body);
  announce(plural(page.groups.length, "group"));
}

function draw({ route, groups }, body) {
  const relation = route.parameters.get("relation") ?? "";
  const all = route.parameters.has("all");
  const found = groups.filter(
    (group) => !relation || group.relation === relation,
  );
  if (!groups.length) {
    replaceContent(
      body,
      notice("success", "No duplicates", "No two models have the same shape."),
    );
    return;
  }
  const chip = (text, value, number) =>
    h(
      "a",
      {
        class: "chip",
        href: withParameters(route, { relation: value, all: "" }),
        "aria-current": relation === value ? "true" : null,
        title: MEANINGS[value] ?? null,
      },
      `${text} ${number}`,
    );
  const shown = all ? found : found.slice(0, MAX_SHOWN);
  replaceContent(
    body,
    h(
      "div",
      { class: "chips", role: "group", "aria-label": "Relations" },
      chip("All", "", groups.length),
      Object.keys(MEANINGS).map((one) => {
        const number = groups.filter((group) => group.relation === one).length;
        return number > 0 && chip(one, one, number);
      }),
    ),
    h(
      "p",
      { class: "muted legend" },
      Object.entries(MEANINGS)
        .filter(([one]) => groups.some((group) => group.relation === one))
        .map(([one, meaning]) => `${one}: ${meaning}`)
        .join("; "),
    ),
    h("div", { class: "groups" }, shown.map(createGroup)),
    found.length > shown.length &&
      h(
        "a",
        { class: "button", href: withParameters(route, { all: "yes" }) },
        `Show all ${found.length} groups`,
      ),
  );
}

function createGroup({ relation, members }) {
  return h(
    "section",
    { class: "group", "data-relation": relation },
    h(
      "h2",
      {},
      relation,
      h("span", { class: "muted" }, plural(members.length, "model")),
    ),
    h(
      "ul",
      { class: "tiles" },
      members.map((one) => createMember(one)),
    ),
  );
}

function createMember(member) {
  if (!member.to)
    return createTile(member, h("span", { class: "badge" }, "reference"));
  const details = [member.relation];
  if (Math.abs(member.scale - 1) > 0.01) {
    details.push(`${measure(member.scale)} times as large`);
  }
  if (member.mirrored && member.relation !== "mirrored")
    details.push("mirrored");
  return createTile(
    member,
    h("span", { class: "muted" }, details.join(", ")),
    h(
      "a",
      {
        href: format("like", member.to, { match: member.model }),
        "aria-label": `Compare ${member.model} with ${member.to}`,
      },
      "Compare",
    ),
  );
}
