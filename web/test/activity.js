// The list of what was done here, newest first, with how long it took.

import { byId, element } from "./dom.js";
import { clock, milliseconds } from "./format.js";

const ENTRIES_MAX = 200;

export function note(text, { ms = null, failed = false } = {}) {
  byId("no-activity").hidden = true;
  const at = new Date();
  const list = byId("activity");
  list.prepend(element("li", { class: failed ? "failed" : null },
    element("time", { datetime: at.toISOString() }, clock(at)),
    element("span", { class: "text" }, text),
    element("span", { class: "took" }, ms === null ? "" : milliseconds(ms))));
  while (list.children.length > ENTRIES_MAX) {
    list.lastElementChild.remove();
  }
}

/** Does something and writes it down: `done` as text or made from the result. Failures are written down and thrown. */
export async function noted(done, doing, work) {
  const began = performance.now();
  try {
    const result = await work();
    note(typeof done === "function" ? done(result) : done, { ms: performance.now() - began });
    return result;
  } catch (failure) {
    if (failure.name !== "AbortError") {
      note(`${doing}: ${failure.message}`, { ms: performance.now() - began, failed: true });
    }
    throw failure;
  }
}

export function clear() {
  byId("activity").replaceChildren();
  byId("no-activity").hidden = false;
}
