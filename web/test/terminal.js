// A live terminal: xterm.js on the WebSocket of an exec. A connection that is lost comes back to the same process, from
// the last byte seen; so does one of before a reload of the page, or of before a pause of the sandbox.
//
//   idle ──start──▶ connecting ──"start"──▶ live ──"exit"──▶ idle
//                       ▲                    │
//                       └── sandbox runs ── lost ◀── connection closed, sandbox paused

import { FitAddon } from "/test/addon-fit.mjs";
import { Terminal as Xterm } from "/test/xterm.mjs";
import { ApiError, call, sandboxPath } from "./api.js";
import { note } from "./activity.js";
import { setText } from "./dom.js";
import * as problems from "./problems.js";
import { session } from "./session.js";

const PROTOCOL = "sandglass.v1";
const STDIN_CHARACTERS_MAX = 15_000; // at most 60 KB in UTF-8, which is what one message may bring
const SCROLLBACK_LINES = 5000;
const RETRY_MS = [300, 1000, 2000, 5000];
const SHELL = "command -v bash >/dev/null && exec bash -l; exec sh -l";

// What a terminal answers when it is asked; not to be sent for questions that are replayed.
const ANSWER_TO_PROGRAM = /^\x1b(\[[?>]?[\d;]*[cRn]|\]|P)/;

const remembered = id => `sandglass.terminal.${id}`;

export class Terminal {
  #id;
  #parts;
  #state = "idle";
  #socket = null;
  #execId = null;
  #seq = 0;
  #replaysUntil = 0;
  #attempts = 0;
  #retry = 0;
  #startsLeft = 0;
  #xterm = null;
  #fit = null;
  #closed = false;

  /** @param parts {screen, start, stop, state, hint, problems}: elements of the panel */
  constructor(id, parts) {
    this.#id = id;
    this.#parts = parts;
    parts.start.addEventListener("click", () => this.start());
    parts.stop.addEventListener("click", () => this.#stop());
    this.#show("idle", "");
    this.#execId = sessionStorage.getItem(remembered(id));
  }

  /** Whether a process is there that keeps the sandbox awake. */
  get isOpen() {
    return this.#state !== "idle";
  }

  /** The panel has become visible, or its sandbox runs again. */
  awake() {
    if (this.#closed) {
      return;
    }
    if (this.#state === "idle" && this.#execId) {
      this.#prepare();
      this.#lost(0); // from before a reload
    } else if (this.#state === "lost") {
      this.#comeBack(0);
    }
    this.fit();
  }

  fit() {
    if (this.#xterm && this.#parts.screen.offsetParent) {
      this.#fit.fit();
    }
  }

  start(tries = 2) {
    this.#startsLeft = tries - 1;
    this.#prepare();
    this.#xterm.reset();
    this.#seq = 0;
    this.#execId = null;
    this.#show("connecting", "Connecting…");
    this.#open({
      type: "start",
      cmd: "/bin/sh",
      args: ["-c", SHELL],
      env: { TERM: "xterm-256color", COLORTERM: "truecolor", LANG: "C.UTF-8" },
      pty: { cols: this.#xterm.cols, rows: this.#xterm.rows },
    });
    this.#xterm.focus();
  }

  /** The page is done with it; the process goes on until its sandbox ends. */
  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#xterm?.dispose();
  }

  /** Its sandbox is gone, and the process with it. */
  forget() {
    sessionStorage.removeItem(remembered(this.#id));
    this.close();
  }

  // ---- screen

  #prepare() {
    problems.clear(this.#parts.problems);
    this.#parts.screen.hidden = false;
    this.#parts.hint.hidden = false;
    if (this.#xterm) {
      return;
    }
    this.#xterm = new Xterm({
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
      fontSize: matchMedia("(max-width: 40rem)").matches ? 12 : 14,
      lineHeight: 1.2, // less hides underscores of some fonts
      minimumContrastRatio: 4.5,
      screenReaderMode: true,
      scrollback: SCROLLBACK_LINES,
      theme: { background: "#16161a", foreground: "#e9e7e3", cursor: "#f0b95a", selectionBackground: "#6b541f" },
    });
    this.#fit = new FitAddon();
    this.#xterm.loadAddon(this.#fit);
    this.#xterm.open(this.#parts.screen);
    this.#xterm.attachCustomKeyEventHandler(event => this.#key(event));
    this.#xterm.onData(text => this.#input(text));
    this.#xterm.onBinary(bytes => this.#send({ type: "stdin", data: btoa(bytes), encoding: "base64" }));
    this.#xterm.onResize(({ cols, rows }) => this.#send({ type: "resize", cols, rows }));
    new ResizeObserver(() => this.fit()).observe(this.#parts.screen);
    this.fit();
  }

  /** The way out for those who have no mouse, since Tab belongs to the shell. */
  #key(event) {
    if (event.ctrlKey && event.shiftKey && event.key === "ArrowUp") {
      if (event.type === "keydown") {
        event.preventDefault();
        (this.#parts.stop.hidden ? this.#parts.start : this.#parts.stop).focus();
      }
      return false;
    }
    return true;
  }

  #show(state, text) {
    this.#state = state;
    setText(this.#parts.state, text);
    this.#parts.state.dataset.state = state;
    this.#parts.start.hidden = state !== "idle";
    this.#parts.stop.hidden = state === "idle" || state === "connecting";
  }

  // ---- to the process

  #input(text) {
    if (performance.now() < this.#replaysUntil && ANSWER_TO_PROGRAM.test(text)) {
      return;
    }
    for (let begin = 0; begin < text.length;) {
      let end = Math.min(text.length, begin + STDIN_CHARACTERS_MAX);
      if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) {
        end -= 1; // the halves of a character stay together
      }
      this.#send({ type: "stdin", data: text.slice(begin, end) });
      begin = end;
    }
  }

  #send(message) {
    if (this.#state === "live" && this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    }
  }

  async #stop() {
    if (this.#state === "live") {
      this.#send({ type: "stop" });
      return;
    }
    clearTimeout(this.#retry);
    try {
      await call("DELETE", `${sandboxPath(this.#id)}/execs/${encodeURIComponent(this.#execId)}`);
      this.#ended("Ended");
    } catch (error) {
      problems.show(this.#parts.problems, error);
      this.#comeBack(RETRY_MS.at(-1));
    }
  }

  // ---- from the process

  #open(first) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const token = session.current()?.token ?? "";
    const socket = new WebSocket(`${scheme}://${location.host}${sandboxPath(this.#id)}/exec/stream`, [PROTOCOL, token]);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#startsLeft = 0; // from here on it may have begun
      socket.send(JSON.stringify(first));
    });
    socket.addEventListener("message", event => {
      if (socket === this.#socket) {
        this.#message(JSON.parse(event.data));
      }
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) {
        this.#socket = null;
        this.#disconnected();
      }
    });
  }

  #message(message) {
    switch (message.type) {
      case "start":
        this.#started(message.exec_id);
        break;
      case "pty":
      case "stdout":
      case "stderr":
        this.#seq = message.seq;
        this.#xterm.write(message.encoding === "base64" ? Uint8Array.from(atob(message.data), c => c.charCodeAt(0)) : message.data);
        break;
      case "exit":
        this.#ended(message.signal ? `Ended by signal ${message.signal}` : `Ended with exit code ${message.exit_code}`);
        break;
      case "error":
        this.#refused(new ApiError(0, message.code, message.message));
        break;
    }
  }

  #started(execId) {
    const again = this.#execId === execId;
    this.#execId = execId;
    this.#attempts = 0;
    sessionStorage.setItem(remembered(this.#id), execId);
    this.#show("live", "Connected");
    problems.clear(this.#parts.problems);
    this.#send({ type: "resize", cols: this.#xterm.cols, rows: this.#xterm.rows });
    note(`${again ? "Back in the" : "Opened a"} terminal of ${this.#id}`);
  }

  #ended(text) {
    sessionStorage.removeItem(remembered(this.#id));
    this.#execId = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#show("idle", text);
    setText(this.#parts.start, "Start another terminal");
    note(`Terminal of ${this.#id}: ${text.toLowerCase()}`);
    if (this.#parts.screen.contains(document.activeElement)) {
      this.#parts.start.focus();
    }
  }

  /** The server says why it ends: only that the process is not there is for good. */
  #refused(error) {
    if (this.#execId && error.code === "not_found") {
      this.#ended("Its process is gone");
    } else if (!this.#execId) {
      this.#ended("Not started");
      problems.show(this.#parts.problems, error);
    }
  }

  async #disconnected() {
    if (this.#closed || this.#state === "idle") {
      return;
    }
    if (this.#execId) {
      this.#lost(RETRY_MS[0]);
      return;
    }
    if (this.#startsLeft > 0) {
      this.#retry = setTimeout(() => this.start(this.#startsLeft), RETRY_MS[1]);
      return;
    }
    this.#ended("Not started"); // browsers do not tell why, but the server does
    try {
      const sandbox = await call("GET", sandboxPath(this.#id));
      const why = sandbox.status === "running" ? "The connection was refused or lost. A page at another address than the server's own must be named in SANDGLASS_ALLOWED_ORIGINS." : `The sandbox is ${sandbox.status}.`;
      problems.show(this.#parts.problems, new ApiError(0, "no_stream", why), [{ label: "Try again", run: () => this.start() }]);
    } catch (error) {
      problems.show(this.#parts.problems, error);
    }
  }

  // ---- coming back

  #lost(delay) {
    this.#show("lost", "Connection lost, coming back…");
    this.#comeBack(delay);
  }

  #comeBack(delay) {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#attach(), delay);
  }

  async #attach() {
    if (this.#closed || this.#state !== "lost" || this.#socket) {
      return;
    }
    const next = RETRY_MS[Math.min(this.#attempts++, RETRY_MS.length - 1)];
    try {
      const sandbox = await call("GET", sandboxPath(this.#id));
      if (this.#state !== "lost" || this.#socket) {
        return;
      }
      if (sandbox.status !== "running") {
        this.#show("lost", `The sandbox is ${sandbox.status}; the terminal goes on when it runs again`);
        this.#comeBack(RETRY_MS.at(-1));
        return;
      }
    } catch (error) {
      if (error.code === "not_found") {
        this.#ended("Its sandbox is gone");
      } else {
        this.#show("lost", `${error.message} Trying again…`);
        this.#comeBack(next);
      }
      return;
    }
    this.#show("lost", "Coming back…");
    this.#replaysUntil = performance.now() + 1500;
    this.#open({ type: "attach", exec_id: this.#execId, after_seq: this.#seq });
  }
}
