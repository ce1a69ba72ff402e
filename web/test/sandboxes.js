// The list of sandboxes, what can be done to each, and the form that makes one.

import { call, now, once, sandboxPath } from "./api.js";
import { note, noted } from "./activity.js";
import { confirmed } from "./dialog.js";
import { byId, fromTemplate, setText, whileBusy } from "./dom.js";
import { clock, shape, span } from "./format.js";
import * as problems from "./problems.js";
import * as snapshots from "./snapshots.js";
import * as workspace from "./workspace.js";

const REFRESH_MS = 5000;
const PAGE = 50;
const PAGE_MAX = 1000;
const PATIENCE_MS = 3000;

/** Which buttons a sandbox has in which state. */
const ACTIONS = {
  running: ["open", "pause", "ping", "snapshot", "destroy"],
  paused: ["open", "resume", "snapshot", "destroy"],
  stopped: ["open", "resume", "destroy"],
};

const rows = new Map();
let limit = PAGE;
let timer = 0;
let active = false;

class Row {
  changed = 0; // when something here was last learned otherwise than from the list
  busy = null; // what is being done to it
  expected = false; // whether the next change was asked for here
  asked = null; // when the last one of those was

  constructor(sandbox) {
    const { root, part } = fromTemplate("sandbox-template");
    this.root = root;
    this.part = part;
    this.problems = part("problems");
    root.dataset.sandbox = sandbox.id;
    part("id").textContent = sandbox.id;
    const on = (name, action) => part(name).addEventListener("click", event => action(event.currentTarget));
    on("open", () => workspace.open(this.sandbox, { scroll: true }));
    on("pause", button => this.pause(button));
    on("resume", button => this.resume(button));
    on("ping", button => this.ping(button));
    on("snapshot", button => snapshots.make(this.sandbox, button, this.problems).then(refresh));
    on("destroy", button => this.destroy(button));
    for (const name of ["open", "pause", "resume", "ping", "snapshot", "destroy"]) {
      part(name).setAttribute("aria-label", `${part(name).textContent} ${sandbox.id}`);
    }
    this.update(sandbox);
  }

  update(sandbox) {
    const before = this.sandbox?.status;
    this.sandbox = sandbox;
    const shown = this.busy ?? sandbox.status;
    const status = this.part("status");
    status.dataset.status = shown;
    const byItself = shown === "paused" && sandbox.last_updated !== this.asked && pausedByItself(sandbox);
    setText(status, byItself ? "auto-paused" : shown);
    setText(this.part("shape"), `${sandbox.template} · ${shape(sandbox)}`);
    const allowed = ACTIONS[sandbox.status] ?? ["destroy"];
    for (const button of this.part("actions").children) {
      button.hidden = !allowed.some(name => button.classList.contains(name));
    }
    const why = sandbox.error ?? "";
    this.part("why").hidden = !why;
    setText(this.part("why"), why);
    this.tick();
    workspace.update({ ...sandbox, status: shown });
    if (byItself && before === "running") {
      note(`${sandbox.id} was paused by itself after ${span(sandbox.timeout_sec)} without use`);
    } else if (before && before !== sandbox.status && !this.busy && !this.expected) {
      note(`${sandbox.id} is now ${sandbox.status}${why ? `: ${why}` : ""}`, { failed: ["stopped", "error"].includes(sandbox.status) });
    }
    this.expected = false;
  }

  /** What changes with time alone. */
  tick() {
    const { created_at, last_active_at, timeout_sec, status } = this.sandbox;
    setText(this.part("age"), `made ${span((now() - Date.parse(created_at)) / 1000)} ago`);
    const bar = this.part("left");
    const counts = status === "running" && timeout_sec > 0;
    const held = counts && workspace.hasTerminal(this.sandbox.id);
    bar.hidden = !counts || held;
    if (!counts) {
      setText(this.part("idle"), status === "running" ? "never paused by itself" : "");
    } else if (held) {
      setText(this.part("idle"), `a terminal keeps it awake (else ${span(timeout_sec)})`);
    } else {
      const left = Math.max(0, timeout_sec - (now() - Date.parse(last_active_at ?? created_at)) / 1000);
      bar.value = left / timeout_sec;
      setText(this.part("idle"), left > 0 ? `pauses by itself in ${span(left)}` : "pauses by itself once nothing runs in it");
    }
  }

  async #change(button, doing, done, failing, work) {
    problems.clear(this.problems);
    this.busy = doing;
    this.update(this.sandbox);
    try {
      const sandbox = await whileBusy(button, () => noted(done, failing, work));
      this.busy = null;
      this.settle(sandbox);
    } catch (error) {
      this.busy = null;
      this.update(this.sandbox);
      throw error;
    }
  }

  async pause(button) {
    const id = this.sandbox.id;
    try {
      await this.#change(button, "pausing", `Paused ${id}`, `Pausing ${id}`,
        () => call("POST", `${sandboxPath(id)}/pause`, { repeatable: true }));
      this.#focusOn("resume");
    } catch (error) {
      this.#failed(error, () => this.pause(button));
    }
  }

  async resume(button, cold = false) {
    const id = this.sandbox.id;
    try {
      await this.#change(button, "resuming",
        result => result.cold ? `Booted ${id} from its disk` : `Resumed ${id}`, `Resuming ${id}`,
        () => call("POST", `${sandboxPath(id)}/resume`, { body: { cold }, repeatable: true }));
      this.#focusOn("pause");
    } catch (error) {
      if (!cold && (error.code === "incompatible_snapshot" || /\bcold\b/i.test(error.message))) {
        problems.show(this.problems, error, [{ label: "Boot from disk", run: () => this.#resumeCold(button) }]);
        refresh();
      } else {
        this.#failed(error, () => this.resume(button, cold));
      }
    }
  }

  async #resumeCold(button) {
    const sure = await confirmed("Boot from disk?", "What was in its memory is given up: programs that ran are gone, files stay.", "Boot from disk", { dangerous: true });
    if (sure) {
      await this.resume(button, true);
    }
  }

  async ping(button) {
    const id = this.sandbox.id;
    problems.clear(this.problems);
    try {
      await whileBusy(button, () => noted(`Pinged ${id}`, `Pinging ${id}`, () => call("POST", `${sandboxPath(id)}/ping`, { repeatable: true })));
      this.changed = performance.now();
      this.update({ ...this.sandbox, last_active_at: new Date(now()).toISOString() });
    } catch (error) {
      this.#failed(error, () => this.ping(button));
    }
  }

  async destroy(button) {
    const id = this.sandbox.id;
    if (!await confirmed(`Destroy ${id}?`, "Its memory and disk are gone for good. Snapshots made of it stay.", "Destroy", { dangerous: true })) {
      return;
    }
    problems.clear(this.problems);
    try {
      await whileBusy(button, () => noted(`Destroyed ${id}`, `Destroying ${id}`, () => call("DELETE", sandboxPath(id))));
      remove(id);
    } catch (error) {
      if (error.code === "not_found") {
        remove(id);
      } else {
        this.#failed(error, () => this.destroy(button));
      }
    }
  }

  /** It is what was asked for, and newer than any list that was asked for before. */
  settle(sandbox) {
    this.changed = performance.now();
    this.expected = true;
    this.asked = sandbox.last_updated;
    this.update(sandbox);
  }

  /** The button that takes the place of the one that was pressed. */
  #focusOn(name) {
    if (this.root.contains(document.activeElement) || document.activeElement === document.body) {
      this.part(name).focus({ preventScroll: true });
    }
  }

  #failed(error, again) {
    problems.show(this.problems, error, error.status === 0 || error.status >= 500 ? [{ label: "Try again", run: again }] : []);
    refresh();
  }
}

/** Nobody asked for the pause: it came when the sandbox had not been used for as long as it may. */
function pausedByItself({ timeout_sec, last_active_at, last_updated }) {
  return timeout_sec > 0 && Boolean(last_active_at)
    && Date.parse(last_updated) - Date.parse(last_active_at) >= (timeout_sec - 1) * 1000;
}

// ---- the list

function insert(sandbox) {
  const row = new Row(sandbox);
  row.root.classList.toggle("opened", workspace.shownId() === sandbox.id);
  rows.set(sandbox.id, row);
  return row;
}

function remove(id) {
  const row = rows.get(id);
  if (row) {
    if (row.root.contains(document.activeElement)) {
      byId("refresh").focus({ preventScroll: true });
    }
    row.root.remove();
    rows.delete(id);
  }
  workspace.gone(id);
  count();
}

function count() {
  byId("no-sandboxes").hidden = rows.size > 0;
  const running = [...rows.values()].filter(row => row.sandbox.status === "running").length;
  setText(byId("sandbox-count"), rows.size === 0 ? "" : `${running} of ${rows.size} running`);
}

/** Asks the server and brings the list in line; what was changed here since it was asked is newer than its answer. */
export async function refresh() {
  clearTimeout(timer);
  const asked = performance.now();
  try {
    const list = await call("GET", `/v1/sandboxes?limit=${limit}`);
    if (!active) {
      return;
    }
    problems.clear(byId("list-problems"));
    apply(list, asked);
    setText(byId("fresh"), `as of ${clock(new Date())}`);
    byId("more").hidden = list.length < limit || limit >= PAGE_MAX;
  } catch (error) {
    if (active) {
      problems.show(byId("list-problems"), error);
    }
  } finally {
    schedule();
  }
}

function apply(list, asked) {
  const listed = new Set(list.map(sandbox => sandbox.id));
  for (const [id, row] of rows) {
    if (!listed.has(id) && row.changed < asked && !row.busy) {
      remove(id);
    }
  }
  let place = byId("sandbox-list").firstElementChild;
  while (place && !listed.has(place.dataset.sandbox)) {
    place = place.nextElementSibling; // made here since
  }
  for (const sandbox of list) {
    const known = rows.get(sandbox.id);
    if (known && known.changed < asked && !known.busy) {
      known.update(sandbox);
    }
    const root = (known ?? insert(sandbox)).root;
    if (root === place) {
      place = place.nextElementSibling;
    } else {
      byId("sandbox-list").insertBefore(root, place);
    }
  }
  count();
}

function schedule() {
  clearTimeout(timer);
  if (active && !document.hidden) {
    timer = setTimeout(refresh, REFRESH_MS);
  }
}

// ---- making one

async function create(body, button, problemsAt, open) {
  problems.clear(problemsAt);
  const hint = byId("create-hint");
  const usual = hint.textContent;
  const slow = setTimeout(() => {
    hint.textContent = "The first sandbox of its kind takes longer: its template is booted, once.";
  }, PATIENCE_MS);
  try {
    const sandbox = await whileBusy(button, () => noted(
      made => `Created ${made.id} from ${made.template}`, "Creating a sandbox",
      () => call("POST", "/v1/sandboxes", { body, key: once() })));
    const row = rows.get(sandbox.id) ?? insert(sandbox); // the list may have had it while it was pending
    row.settle(sandbox);
    byId("sandbox-list").prepend(row.root);
    count();
    open(sandbox);
  } catch (error) {
    problems.show(problemsAt, error, error.status === 0 || error.status >= 500
      ? [{ label: "Try again", run: () => create(body, button, problemsAt, open) }] : []);
  } finally {
    clearTimeout(slow);
    hint.textContent = usual;
  }
}

/** As typed: what is no number or out of range is for the server to refuse. */
function numberOf(id) {
  const field = byId(id);
  if (field.disabled || field.value === "" && field.validity.valid) {
    return undefined;
  }
  return field.validity.badInput ? "not a number" : Number(field.value);
}

export function createFrom(template, button) {
  return create({ template, timeout_sec: numberOf("create-timeout") }, button, byId("snapshot-problems"),
    sandbox => workspace.open(sandbox, { scroll: true }));
}

// ---- coming and going

export async function start() {
  active = true;
  await refresh();
  const opened = rows.get(workspace.shownId());
  if (opened) {
    workspace.open(opened.sandbox);
  }
}

export function stop() {
  active = false;
  clearTimeout(timer);
  workspace.closeAll();
  rows.clear();
  byId("sandbox-list").replaceChildren();
  problems.clear(byId("list-problems"));
  problems.clear(byId("create-problems"));
}

export function wire() {
  byId("create").addEventListener("submit", event => {
    event.preventDefault();
    create({
      template: byId("create-template").value,
      vcpus: numberOf("create-vcpus"),
      memory_mb: numberOf("create-memory"),
      timeout_sec: numberOf("create-timeout"),
    }, byId("create-button"), byId("create-problems"), sandbox => workspace.open(sandbox));
  });
  byId("refresh").addEventListener("click", event => whileBusy(event.currentTarget, () => Promise.all([refresh(), snapshots.refresh()])));
  byId("more").addEventListener("click", () => {
    limit = Math.min(PAGE_MAX, limit * 2);
    refresh();
  });
  workspace.wire(
    (id, button) => rows.get(id)?.resume(button),
    shown => rows.forEach((row, id) => row.root.classList.toggle("opened", id === shown)));
  setInterval(() => rows.forEach(row => row.tick()), 1000);
  document.addEventListener("visibilitychange", () => active && !document.hidden && refresh());
}
