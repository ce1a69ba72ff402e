// API keys: the text of a key is shown once, when it is made.

import { call } from "./api.js";
import { noted, note } from "./activity.js";
import { confirmed } from "./dialog.js";
import { byId, element, whileBusy } from "./dom.js";
import { when } from "./format.js";
import * as problems from "./problems.js";

const where = () => byId("key-problems");

export async function refresh() {
  try {
    const keys = await call("GET", "/v1/api-keys");
    byId("key-list").replaceChildren(...keys.map(row));
    byId("no-keys").hidden = keys.length > 0;
  } catch (error) {
    problems.show(where(), error, [{ label: "Try again", run: refresh }]);
  }
}

function row(key) {
  return element("li", { "data-key": key.id },
    element("span", { class: "what" }, key.name,
      element("span", { class: "about" }, element("code", {}, key.key_prefix), " made ", when(key.created_at),
        key.last_used ? `, used ${when(key.last_used)}` : ", not used yet")),
    element("button", { type: "button", class: "danger", "aria-label": `Delete key ${key.name}`, onclick: event => remove(key, event.currentTarget) }, "Delete"));
}

async function create() {
  problems.clear(where());
  const name = byId("key-name").value;
  try {
    const made = await whileBusy(byId("key-button"), () => noted(
      key => `Created API key ${key.name}`, "Creating an API key", () => call("POST", "/v1/api-keys", { body: { name } })));
    byId("key-name").value = "";
    reveal(made.key);
    await refresh();
  } catch (error) {
    problems.show(where(), error);
  }
}

function reveal(text) {
  byId("new-key-text").value = text;
  byId("key-example").textContent = `curl -H "X-API-Key: ${text}" ${location.origin}/v1/sandboxes`;
  byId("new-key").hidden = false;
  byId("new-key-text").focus();
  byId("new-key-text").select();
}

export function hideSecret() {
  byId("new-key-text").value = "";
  byId("key-example").textContent = "";
  byId("new-key").hidden = true;
}

/** The clipboard is there on secure origins only; elsewhere the old way serves. */
async function copy() {
  const field = byId("new-key-text");
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    field.select();
    document.execCommand("copy");
  }
  note("Copied the API key");
  const button = byId("copy-key");
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

async function remove(key, button) {
  const sure = await confirmed(`Delete “${key.name}”?`, "Programs that use this key are refused from then on.", "Delete", { dangerous: true });
  if (!sure) {
    return;
  }
  problems.clear(where());
  try {
    await whileBusy(button, () => noted(`Deleted API key ${key.name}`, `Deleting API key ${key.name}`,
      () => call("DELETE", `/v1/api-keys/${encodeURIComponent(key.id)}`)));
  } catch (error) {
    problems.show(where(), error);
  }
  await refresh();
}

export function wire() {
  byId("key-form").addEventListener("submit", event => {
    event.preventDefault();
    create();
  });
  byId("copy-key").addEventListener("click", copy);
  byId("hide-key").addEventListener("click", () => {
    hideSecret();
    byId("key-name").focus();
  });
}
