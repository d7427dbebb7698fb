/** Groups of models of the same shape, the strongest relation first. */

import { getDuplicates } from "./api.js";
import { createTile } from "./card.js";
import {
  createChangeButton,
  mayChange,
  openDelete,
  openLabel,
} from "./edit.js";
import { h, replaceContent } from "./element.js";
import { describeScale, percent, plural, toStem, toTitle } from "./format.js";
import { failure, notice, announce, waiting } from "./notice.js";
import { withParameters, format } from "./route.js";
import { info } from "./state.js";

const POLL_INTERVAL = 1500; // milliseconds
const MAX_SHOWN = 30; // groups at first; each loads its thumbnails
const EMPTY = 409; // of HTTP: the database has no model that can be compared

// Names of relations and what they mean, the strongest first.
const RELATIONS = {
  identical: ["Identical", "the same triangles at the same size"],
  same: ["Same shape", "the same surface in another file format or pose"],
  scaled: ["Same shape, other size", "the same surface at another size"],
  mirrored: ["Mirror images", "left and right of one shape"],
  similar: ["Nearly the same", "surfaces that nearly coincide at one size"],
};

/** Shows the page; see `answer.showAnswer`. */
export function showDuplicates(place, route, { again }) {
  document.title = "dr3d: duplicates";
  const page = { route, groups: null, gone: false, again };
  const body = h("div", {});
  replaceContent(
    place,
    h("h1", {}, "Duplicates"),
    h(
      "p",
      { class: "intro" },
      "Parts of one shape. Compare two before you delete one.",
    ),
    body,
  );
  load(page, body).catch((error) => {
    if (page.gone) return;
    replaceContent(
      body,
      error.status === EMPTY
        ? notice("info", "The catalogue is empty", "Add parts first.")
        : failure(error, "Comparison failed", again),
    );
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
  const line = waiting("Comparing the parts");
  replaceContent(body, line);
  announce("Comparing the parts");
  page.known = await info();
  for (;;) {
    const { ready, done, total, groups } = await getDuplicates();
    if (page.gone) return;
    if (ready !== false) {
      page.groups = groups;
      break;
    }
    if (total) {
      line.lastChild.textContent = `Comparing the parts: ${percent(
        done / total,
      )}`;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
    if (page.gone) return;
  }
  draw(page, body);
  announce(plural(page.groups.length, "group"));
}

function draw(page, body) {
  const { route, groups, known } = page;
  const relation = route.parameters.get("relation") ?? "";
  const all = route.parameters.has("all");
  const found = groups.filter(
    (group) => !relation || group.relation === relation,
  );
  if (!groups.length) {
    replaceContent(
      body,
      known.counts.indexed
        ? notice("success", "No duplicates", "No two parts have one shape.")
        : notice("info", "The catalogue is empty", "Add parts first."),
    );
    return;
  }
  const shown = all ? found : found.slice(0, MAX_SHOWN);
  replaceContent(
    body,
    createChips(route, groups, relation),
    listRelations(shown).map((one) => [
      h(
        "h2",
        { class: "relation" },
        nameOf(one),
        h("span", { class: "muted" }, RELATIONS[one]?.[1]),
      ),
      h(
        "div",
        { class: "groups" },
        shown
          .filter((group) => group.relation === one)
          .map((group) => createGroup(group, page)),
      ),
    ]),
    found.length > shown.length &&
      h(
        "a",
        { class: "button", href: withParameters(route, { all: "yes" }) },
        `Show all ${found.length} groups`,
      ),
  );
}

/** A button for each relation that was found. */
function createChips(route, groups, relation) {
  const chip = (text, value, number) =>
    h(
      "a",
      {
        class: "chip",
        href: withParameters(route, { relation: value, all: "" }),
        "aria-current": relation === value ? "true" : null,
      },
      `${text} ${number}`,
    );
  return h(
    "div",
    { class: "chips", role: "group", "aria-label": "Relations" },
    chip("All", "", groups.length),
    listRelations(groups).map((one) =>
      chip(
        nameOf(one),
        one,
        groups.filter((group) => group.relation === one).length,
      ),
    ),
  );
}

/** Relations that were found, the strongest first, unknown ones last. */
function listRelations(groups) {
  const found = new Set(groups.map((group) => group.relation));
  const known = Object.keys(RELATIONS).filter((one) => found.has(one));
  return [...new Set([...known, ...found])];
}

function nameOf(relation) {
  return RELATIONS[relation]?.[0] ?? toTitle(relation);
}

function createGroup({ relation, members }, page) {
  const { known } = page;
  const [first, ...others] = members;
  return h(
    "section",
    {
      class: "group",
      "data-relation": relation,
      "aria-label": `${nameOf(relation)}: ${toStem(first.model)}`,
    },
    members.length > 2 && h("h3", {}, plural(members.length, "part")),
    h(
      "ul",
      { class: "tiles" },
      members.map((one) => createMember(one, page)),
    ),
    mayChange(known) &&
      h(
        "p",
        { class: "actions" },
        createChangeButton(known, `Keep only ${toStem(first.model)}`, () =>
          openDelete(
            others.map(({ model }) => model),
            page.again,
          ),
        ),
      ),
  );
}

function createMember(member, page) {
  const { known } = page;
  const details = [];
  if (member.to) {
    details.push(nameOf(member.relation));
    if (Math.abs(member.scale - 1) > 0.01) {
      details.push(describeScale(member.scale));
    }
    if (member.mirrored && member.relation !== "mirrored") {
      details.push("mirrored");
    }
  }
  return createTile(
    member,
    [],
    member.to
      ? h("span", { class: "muted" }, details.join(", "))
      : h("span", { class: "badge" }, "compared with"),
    member.to &&
      h(
        "a",
        {
          href: format("like", member.to, { match: member.model }),
          "aria-label": `Compare ${toStem(member.model)} with ${toStem(member.to)}`,
        },
        "Compare",
      ),
    mayChange(known) &&
      h(
        "p",
        { class: "tile-actions" },
        named(
          createChangeButton(known, "Edit class", () =>
            openLabel(member, known, page.again),
          ),
          `Change the class of ${toStem(member.model)}`,
        ),
        named(
          createChangeButton(known, "Delete", () =>
            openDelete([member.model], page.again),
          ),
          `Delete ${toStem(member.model)}`,
        ),
      ),
  );
}

/** A button whose text says too little for screen readers. */
function named(button, text) {
  button.setAttribute("aria-label", text);
  return button;
}
