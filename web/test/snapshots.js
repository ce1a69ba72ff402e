// Snapshots: listed, made from a sandbox, deleted; and the templates that a sandbox can be created from.

import { call, once } from "./api.js";
import { noted } from "./activity.js";
import { ask, confirmed } from "./dialog.js";
import { byId, element, whileBusy } from "./dom.js";
import { bytes, shape, when } from "./format.js";
import * as problems from "./problems.js";

const where = () => byId("snapshot-problems");
let onUse = () => {};
let known = [];

export async function refresh() {
  try {
    known = await call("GET", "/v1/snapshots");
  } catch (error) {
    problems.show(where(), error, [{ label: "Try again", run: refresh }]);
    return;
  }
  const ours = known.filter(snapshot => snapshot.type === "snapshot");
  byId("snapshot-list").replaceChildren(...ours.map(row));
  byId("no-snapshots").hidden = ours.length > 0;
  offerTemplates();
}

/** Named templates, the base ones first; what is chosen stays chosen while it exists. */
function offerTemplates() {
  const select = byId("create-template");
  const chosen = select.value;
  const names = [...known].sort((a, b) => a.type.localeCompare(b.type)).map(snapshot => snapshot.name);
  select.replaceChildren(...names.map(name => element("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : names[0] ?? "";
  lockShape();
}

export const named = name => known.find(snapshot => snapshot.name === name && snapshot.type === "snapshot");

/** What a snapshot was made with cannot be chosen. */
export function lockShape() {
  const locked = named(byId("create-template").value);
  for (const [id, value] of [["create-vcpus", locked?.vcpus], ["create-memory", locked?.memory_mb]]) {
    const field = byId(id);
    if (locked) {
      field.dataset.chosen ??= field.value;
      field.value = value;
    } else if (field.dataset.chosen !== undefined) {
      field.value = field.dataset.chosen;
      delete field.dataset.chosen;
    }
    field.disabled = Boolean(locked);
  }
}

function row(snapshot) {
  return element("li", { "data-snapshot": snapshot.name },
    element("span", { class: "what" }, snapshot.name,
      element("span", { class: "about" }, `${shape(snapshot)}, ${bytes(snapshot.size_bytes)}, ${when(snapshot.created_at)}`)),
    element("button", { type: "button", "aria-label": `Create a sandbox from ${snapshot.name}`, onclick: event => onUse(snapshot.name, event.currentTarget) }, "Create from"),
    element("button", { type: "button", class: "danger", "aria-label": `Delete snapshot ${snapshot.name}`, onclick: event => remove(snapshot.name, event.currentTarget) }, "Delete"));
}

/** Asks for a name and makes one; problems are shown at the sandbox. Resolves when that is over. */
export async function make(sandbox, button, problemsAt) {
  const name = element("input", { name: "snapshot-name", autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: 64, placeholder: "Left empty: one is made up" });
  const pause = element("input", { type: "checkbox", name: "snapshot-pause" });
  const fields = [element("label", { class: "field" }, "Name", name)];
  if (sandbox.status === "running") {
    fields.push(element("label", { class: "tick" }, pause, "Leave the sandbox paused"));
  }
  if (await ask("Snapshot", `Keeps memory and disk of ${sandbox.id} as they are now.`, "Make it", fields)) {
    const body = { sandbox_id: sandbox.id, ...(name.value ? { name: name.value } : {}), ...(pause.checked ? { pause: true } : {}) };
    await create(body, false, button, problemsAt);
  }
}

async function create(body, overwrite, button, problemsAt) {
  problems.clear(problemsAt);
  try {
    await whileBusy(button, () => noted(
      made => `Made snapshot ${made.name} of ${body.sandbox_id}, ${bytes(made.size_bytes)}`,
      `Snapshot of ${body.sandbox_id}`,
      () => call("POST", `/v1/snapshots${overwrite ? "?overwrite=true" : ""}`, { body, key: once() })));
  } catch (error) {
    const replace = error.code === "already_exists" && !overwrite
      ? [{ label: "Replace it", run: () => create(body, true, button, problemsAt) }] : [];
    problems.show(problemsAt, error, replace);
  }
  await refresh();
}

async function remove(name, button) {
  const sure = await confirmed(`Delete snapshot “${name}”?`, "Sandboxes made from it keep working.", "Delete", { dangerous: true });
  if (!sure) {
    return;
  }
  problems.clear(where());
  try {
    await whileBusy(button, () => noted(`Deleted snapshot ${name}`, `Deleting snapshot ${name}`,
      () => call("DELETE", `/v1/snapshots/${encodeURIComponent(name)}`)));
  } catch (error) {
    problems.show(where(), error);
  }
  await refresh();
}

/** `use` is called with the name of a snapshot that a sandbox shall be created from, and the button pressed. */
export function wire(use) {
  onUse = use;
  byId("create-template").addEventListener("change", lockShape);
}
