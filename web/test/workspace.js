// What one works in: a sandbox's terminal, commands and files. One is shown; those opened before keep their terminals.

import { byId, fromTemplate, setText } from "./dom.js";
import * as command from "./command.js";
import { Files } from "./files.js";
import { Terminal } from "./terminal.js";

const OPENED = "sandglass.opened";
const opened = new Map();
let onResume = () => {};
let onChange = () => {};

class Workspace {
  constructor(sandbox) {
    const { root, part } = fromTemplate("workspace-template");
    this.root = root;
    this.part = part;
    this.panel = name => root.querySelector(`[data-panel=${name}]`);
    part("id").textContent = sandbox.id;
    root.setAttribute("aria-label", `Sandbox ${sandbox.id}`);
    part("close").addEventListener("click", () => show(null));
    part("wake").addEventListener("click", event => onResume(sandbox.id, event.currentTarget));
    const inTerminal = name => this.panel("terminal").querySelector("." + name);
    this.terminal = new Terminal(sandbox.id, {
      screen: inTerminal("screen"), start: inTerminal("start"), stop: inTerminal("stop"),
      state: inTerminal("terminal-state"), hint: inTerminal("terminal-hint"), problems: inTerminal("problems"),
    });
    command.wire(sandbox.id, this.panel("command"));
    this.files = new Files(sandbox.id, this.panel("files"));
    this.#tabs(sandbox.id);
    byId("workspaces").append(root);
  }

  #tabs(id) {
    this.tabs = [...this.root.querySelectorAll("[role=tab]")];
    for (const tab of this.tabs) {
      const panel = this.panel(tab.dataset.tab);
      tab.id = `${id}-${tab.dataset.tab}`;
      panel.id = `${tab.id}-panel`;
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", () => this.select(tab.dataset.tab));
      tab.addEventListener("keydown", event => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) {
          const to = this.tabs[(this.tabs.indexOf(tab) + step + this.tabs.length) % this.tabs.length];
          this.select(to.dataset.tab);
          to.focus();
        }
      });
    }
  }

  select(name) {
    for (const tab of this.tabs) {
      const chosen = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      this.panel(tab.dataset.tab).hidden = !chosen;
    }
    this.selected = name;
    this.#entered();
  }

  #entered() {
    if (this.status !== "running" || this.root.hidden) {
      return;
    }
    if ((this.selected ?? "terminal") === "terminal") {
      this.terminal.awake();
    } else if (this.selected === "files") {
      this.files.opened();
    }
  }

  update(sandbox) {
    const before = this.status;
    this.status = sandbox.status;
    const status = this.part("status");
    status.dataset.status = sandbox.status;
    setText(status, sandbox.status);
    const asleep = sandbox.status !== "running";
    this.root.classList.toggle("sleeping", asleep);
    this.part("asleep").hidden = !asleep;
    this.part("wake").hidden = sandbox.status !== "paused" && sandbox.status !== "stopped";
    setText(this.part("asleep").querySelector("p"), {
      paused: "It is paused: nothing of it runs, and all of it is kept.",
      stopped: "Its machine has ended. Resuming boots it from its disk.",
      error: "It never came up, or its data are damaged: it can only be destroyed.",
    }[sandbox.status] ?? `It is ${sandbox.status}…`);
    if (before !== sandbox.status) {
      this.#entered();
    }
  }

  reveal() {
    this.root.hidden = false;
    this.terminal.fit();
    this.#entered();
  }
}

/** Opens a sandbox, or with null none. */
function show(id) {
  for (const [other, workspace] of opened) {
    workspace.root.hidden = other !== id;
  }
  if (id === null) {
    sessionStorage.removeItem(OPENED);
  } else {
    sessionStorage.setItem(OPENED, id);
    opened.get(id).reveal();
  }
  onChange(id);
}

export const shownId = () => sessionStorage.getItem(OPENED);

export function open(sandbox, { scroll = false } = {}) {
  if (!opened.has(sandbox.id)) {
    opened.set(sandbox.id, new Workspace(sandbox));
  }
  const workspace = opened.get(sandbox.id);
  workspace.update(sandbox);
  show(sandbox.id);
  if (scroll) {
    workspace.root.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
}

/** A sandbox is not what it was. */
export function update(sandbox) {
  opened.get(sandbox.id)?.update(sandbox);
}

export const hasTerminal = id => opened.get(id)?.terminal.isOpen ?? false;

export function gone(id) {
  const workspace = opened.get(id);
  if (workspace) {
    workspace.terminal.forget();
    workspace.root.remove();
    opened.delete(id);
  }
  if (shownId() === id) {
    show(null);
  }
}

export function closeAll() {
  for (const workspace of opened.values()) {
    workspace.terminal.close();
    workspace.root.remove();
  }
  opened.clear();
}

export function wire(resume, changed) {
  onResume = resume;
  onChange = changed;
}
