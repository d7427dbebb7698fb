/** Dialogs that change models, for those who have the right. */

import { addModel, editModel, getInfo, removeModel } from "./api.js";
import { forgetAnswers } from "./answer_store.js";
import { h, replaceContent } from "./element.js";
import { plural, toStem } from "./format.js";
import { createFields } from "./metadata.js";
import { announce } from "./notice.js";
import { forget } from "./state.js";
import { askToken } from "./token.js";

const WRITERS = ["write", "admin"];

/** Whether the page offers changes: to this person, or to some token. */
export const mayChange = (info) =>
  Boolean(info?.writable) || WRITERS.includes(info?.role);

/**
 * A button for a change; asks for a token first, if there is none that may.
 *
 * @param {Object} known of the service.
 * @param {string} text
 * @param {function()} change
 */
export function createChangeButton(known, text, change) {
  return h(
    "button",
    {
      type: "button",
      async onclick() {
        // The role is that of the moment: a token may have been entered since.
        const { role } = await getInfo().catch(() => known);
        const reason = "Changes need a token that may write.";
        if (WRITERS.includes(role)) change();
        else if (await askToken(reason, { byHand: true })) change();
      },
    },
    text,
  );
}

/** Edits class and properties of a model; calls `done` after it was saved. */
export function openEdit(model, info, done) {
  const label = createLabelField(info, model.label);
  const fields = createFields(
    model.metadata ?? {},
    info.columns.map(({ name }) => name),
  );
  openDialog(`Edit ${toStem(model.model)}`, {
    content: [label.element, fields.element],
    action: "Save",
    async run() {
      const changes = { label: label.read(), metadata: fields.read() };
      await editModel(model.model, changes);
    },
    done,
  });
}

/** Changes the class of a model alone. */
export function openLabel(model, info, done) {
  const label = createLabelField(info, model.label);
  openDialog(`Class of ${toStem(model.model)}`, {
    content: [label.element],
    action: "Save",
    run: () => editModel(model.model, { label: label.read() }),
    done,
  });
}

/** Asks whether to delete models, and deletes them. */
export function openDelete(names, done) {
  openDialog(
    names.length === 1
      ? `Delete ${toStem(names[0])}?`
      : `Delete ${plural(names.length, "model")}?`,
    {
      content: [
        h(
          "ul",
          { class: "names" },
          names.map((name) => h("li", {}, name)),
        ),
        h(
          "p",
          {},
          "This cannot be undone here. The file in its own folder is not " +
            "touched, so indexing that folder again brings the model back.",
        ),
      ],
      action: "Delete",
      isDangerous: true,
      async run() {
        for (const name of names) await removeModel(name);
      },
      done,
    },
  );
}

/** Adds model files. */
export function openAdd(info, done) {
  const label = createLabelField(info, "");
  const fields = createFields(
    {},
    info.columns.map(({ name }) => name),
  );
  const files = h("input", {
    type: "file",
    id: "add-files",
    multiple: true,
    required: true,
    accept: info.formats.join(","),
  });
  const status = h("p", { role: "status", class: "muted" });
  openDialog("Add parts", {
    content: [
      h("label", { for: "add-files" }, "Model files"),
      files,
      label.element,
      fields.element,
      status,
    ],
    action: "Add",
    async run() {
      const set = Object.entries(fields.read()).map((pair) => pair.join("="));
      const all = [...files.files];
      for (const [k, file] of all.entries()) {
        status.textContent = `Adding ${file.name}, ${k + 1} of ${all.length}`;
        await addModel(file, { label: label.read(), set });
      }
    },
    done,
  });
}

function createLabelField({ labels }, value) {
  const input = h("input", { id: "class", list: "classes", value });
  return {
    element: h(
      "div",
      { class: "field" },
      h("label", { for: "class" }, "Class"),
      input,
      h(
        "datalist",
        { id: "classes" },
        labels.map(({ label }) => h("option", { value: label })),
      ),
    ),
    read: () => input.value.trim(),
  };
}

function openDialog(title, { content, action, isDangerous, run, done }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h(
    "button",
    { type: "submit", class: isDangerous ? "danger" : "primary" },
    action,
  );
  const cancel = h("button", { type: "button" }, "Cancel");
  const form = h(
    "form",
    {},
    h("h2", { id: "dialog-title" }, title),
    content,
    problem,
    h("p", { class: "actions" }, submit, cancel),
  );
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "dialog-title" },
    form,
  );
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    replaceContent(problem);
    try {
      await run();
    } catch (error) {
      replaceContent(problem, error.message);
      submit.disabled = false;
      return;
    }
    forget();
    forgetAnswers();
    dialog.close();
    announce("Saved");
    done();
  });
  document.body.append(dialog);
  dialog.showModal();
}
