// Errors, shown where they came up: the server's message, what to do about it, and buttons that do it.

import { element } from "./dom.js";

const REMEDIES = {
  no_answer: () => "Check that it is running (./sandglass up) and that this machine reaches it, then try again.",
  rate_limited: error => `Wait ${error.retryAfter ? error.retryAfter + " seconds" : "a moment"}, then try again.`,
  quota_exceeded: () => "Destroy or pause a sandbox to make room.",
  no_capacity: () => "Destroy or pause a sandbox to make room, or ask for less memory.",
  host_unavailable: () => "Try again in a few seconds.",
  invalid_state: () => "The list shows what state it is in now.",
  internal_error: error => error.requestId ? `The request's id is ${error.requestId}.` : "",
  agent_error: error => error.requestId ? `The request's id is ${error.requestId}.` : "",
};

/** Shows one problem in `where`, in place of what is shown there. Actions: [{label, run}]. */
export function show(where, error, actions = []) {
  if (error.name === "AbortError") {
    return;
  }
  const remedy = REMEDIES[error.code]?.(error) ?? "";
  const box = element("div", { class: "problem", role: "alert" },
    element("div", {},
      element("span", { class: "message" }, error.message),
      remedy ? element("span", { class: "remedy" }, " " + remedy) : null,
      error.code ? element("span", {}, " ", element("span", { class: "code" }, error.code)) : null));
  for (const action of actions) {
    box.append(element("button", { type: "button", onclick: () => { clear(where); action.run(); } }, action.label));
  }
  box.append(element("button", { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: () => clear(where) }, "✕"));
  where.replaceChildren(box);
}

export function clear(where) {
  where.replaceChildren();
}
