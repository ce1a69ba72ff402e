// The one dialog: asks before something that cannot be undone, or for a few values.

import { byId } from "./dom.js";

/** Resolves to true or false. */
export function confirmed(title, text, yes, { dangerous = false } = {}) {
  return ask(title, text, yes, [], dangerous);
}

/** Shows the fields (elements) and resolves to true when they shall count. */
export function ask(title, text, yes, fields, dangerous = false) {
  const dialog = byId("dialog");
  byId("dialog-title").textContent = title;
  byId("dialog-text").textContent = text;
  byId("dialog-text").hidden = !text;
  byId("dialog-fields").replaceChildren(...fields);
  byId("dialog-fields").hidden = fields.length === 0;
  const button = byId("dialog-yes");
  button.textContent = yes;
  button.classList.toggle("danger", dangerous);
  button.classList.toggle("primary", !dangerous);
  dialog.returnValue = "";
  dialog.showModal();
  (fields[0]?.querySelector("input") ?? (dangerous ? byId("dialog-cancel") : button)).focus();
  return new Promise(resolve => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Enter in a field means yes, although the first button is the one that cancels. */
byId("dialog").addEventListener("keydown", event => {
  if (event.key === "Enter" && event.target instanceof HTMLInputElement) {
    event.preventDefault();
    byId("dialog-yes").click();
  }
});
