// Folders of a sandbox: looked through, uploaded to and downloaded from, with progress.

import { ApiError, call, errorOf, headers, sandboxPath, send } from "./api.js";
import { noted } from "./activity.js";
import { ask, confirmed } from "./dialog.js";
import { element, whileBusy } from "./dom.js";
import { bytes, when } from "./format.js";
import * as problems from "./problems.js";

const ENTRIES_SHOWN_MAX = 500;

/** What has come of a download is handed to the browser in pieces of this size, which it may keep on disk. */
const PIECE_BYTES = 8 << 20;

const TYPES = { directory: "folder", file: "file", symlink: "link" };

export class Files {
  #id;
  #part;
  #folder = "/root";
  #shown = false;

  constructor(id, panel) {
    this.#id = id;
    this.#part = name => panel.querySelector("." + name);
    this.#part("folder-form").addEventListener("submit", event => {
      event.preventDefault();
      this.show(this.#part("folder").value);
    });
    this.#part("up").addEventListener("click", () => this.show(parent(this.#folder)));
    this.#part("upload").addEventListener("change", event => {
      this.#uploadAll([...event.target.files]);
      event.target.value = "";
    });
    this.#part("mkdir").addEventListener("click", event => this.#makeFolder(event.currentTarget));
    panel.addEventListener("dragover", event => {
      event.preventDefault();
      panel.classList.add("dropping");
    });
    panel.addEventListener("dragleave", () => panel.classList.remove("dropping"));
    panel.addEventListener("drop", event => {
      event.preventDefault();
      panel.classList.remove("dropping");
      this.#uploadAll([...event.dataTransfer.files]);
    });
  }

  #path(rest) {
    return `${sandboxPath(this.#id)}/files${rest}`;
  }

  /** The panel has become visible. */
  opened() {
    if (!this.#shown) {
      this.show(this.#folder);
    }
  }

  async show(folder) {
    const wanted = normal(folder);
    try {
      const entries = await call("GET", this.#path(`?path=${encodeURIComponent(wanted)}`));
      this.#folder = wanted;
      this.#shown = true;
      problems.clear(this.#part("problems"));
      this.#part("folder").value = wanted;
      this.#part("up").disabled = wanted === "/";
      this.#list(entries);
    } catch (error) {
      problems.show(this.#part("problems"), error);
    }
  }

  #list(entries) {
    const folders = entry => entry.type === "directory" ? 0 : 1;
    entries.sort((a, b) => folders(a) - folders(b) || a.name.localeCompare(b.name));
    const rows = entries.slice(0, ENTRIES_SHOWN_MAX).map(entry => this.#row(entry));
    if (entries.length > ENTRIES_SHOWN_MAX) {
      rows.push(element("li", { class: "hint" }, `and ${entries.length - ENTRIES_SHOWN_MAX} more, which are not shown`));
    }
    this.#part("files").replaceChildren(...rows);
    this.#part("no-files").hidden = entries.length > 0;
  }

  #row(entry) {
    const path = within(this.#folder, entry.name);
    const isFolder = entry.type === "directory";
    const opens = isFolder ? () => this.show(path) : event => this.#download(path, entry.name, event.currentTarget);
    const about = [isFolder ? null : bytes(entry.size), TYPES[entry.type] ?? entry.type, entry.mode, when(entry.modified_at)];
    const target = entry.symlink_target ? ` → ${entry.symlink_target}` : "";
    return element("li", { "data-name": entry.name },
      element("span", { class: "what" },
        isFolder ? element("button", { type: "button", class: "link", onclick: opens }, entry.name + "/") : element("code", {}, entry.name + target)),
      element("span", { class: "about" }, about.filter(part => part !== null).join(" · ")),
      isFolder ? null : element("button", { type: "button", class: "download", "aria-label": `Download ${entry.name}`, onclick: opens }, "Download"),
      element("button", { type: "button", class: "danger", "aria-label": `Delete ${entry.name}`, onclick: event => this.#remove(path, isFolder, event.currentTarget) }, "Delete"));
  }

  async #change(button, done, doing, work) {
    problems.clear(this.#part("problems"));
    try {
      await whileBusy(button, () => noted(done, doing, work));
      await this.show(this.#folder);
    } catch (error) {
      problems.show(this.#part("problems"), error);
    }
  }

  async #makeFolder(button) {
    const name = element("input", { name: "folder-name", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
    if (await ask("New folder", `In ${this.#folder}`, "Make it", [element("label", { class: "field" }, "Name", name)]) && name.value) {
      const path = within(this.#folder, name.value);
      await this.#change(button, `Made folder ${path}`, `Making folder ${path}`,
        () => call("POST", this.#path("/mkdir"), { body: { path } }));
    }
  }

  async #remove(path, isFolder, button) {
    const sure = await confirmed(`Delete ${path}?`, isFolder ? "The folder goes with all that is in it." : "", "Delete", { dangerous: true });
    if (sure) {
      await this.#change(button, `Deleted ${path}`, `Deleting ${path}`,
        () => call("DELETE", this.#path(`?path=${encodeURIComponent(path)}`)));
    }
  }

  // ---- transfers

  #transfer(label, onCancel) {
    const name = element("span", { class: "name" }, label);
    const bar = element("progress", { max: 1, "aria-label": label });
    const amount = element("span", { class: "amount" });
    const row = element("li", {}, name, bar, amount, element("button", { type: "button", "aria-label": `Cancel: ${label}`, onclick: onCancel }, "Cancel"));
    this.#part("transfers").append(row);
    return {
      progress(done, all) {
        if (all > 0) {
          bar.value = done / all;
        }
        amount.textContent = all > 0 ? `${bytes(done)} of ${bytes(all)}` : bytes(done);
      },
      end() {
        row.remove();
      },
    };
  }

  async #uploadAll(files) {
    problems.clear(this.#part("problems"));
    for (const file of files) {
      const path = within(this.#folder, file.name);
      try {
        await noted(`Uploaded ${path}, ${bytes(file.size)}`, `Uploading ${path}`, () => this.#upload(path, file));
      } catch (error) {
        problems.show(this.#part("problems"), error, [{ label: "Try again", run: () => this.#uploadAll([file]) }]);
        break;
      }
      await this.show(this.#folder);
    }
  }

  /** XMLHttpRequest tells how much has been sent, which fetch does not. */
  #upload(path, file) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const shown = this.#transfer(`Uploading ${file.name}`, () => request.abort());
      request.upload.addEventListener("progress", event => shown.progress(event.loaded, file.size));
      request.addEventListener("loadend", () => shown.end());
      request.addEventListener("load", () => request.status === 204 ? resolve()
        : reject(errorOf(request.status, request.responseText, name => request.getResponseHeader(name))));
      request.addEventListener("error", () => reject(new ApiError(0, "no_answer", "The connection broke while sending; the file was not changed.")));
      request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
      request.open("PUT", this.#path(`/stream?path=${encodeURIComponent(path)}`));
      for (const [name, value] of Object.entries(headers({ "Content-Type": "application/octet-stream" }))) {
        request.setRequestHeader(name, value);
      }
      request.send(file);
    });
  }

  async #download(path, name, button) {
    problems.clear(this.#part("problems"));
    const cancelled = new AbortController();
    const shown = this.#transfer(`Downloading ${name}`, () => cancelled.abort());
    try {
      const blob = await whileBusy(button, () => noted(
        whole => `Downloaded ${path}, ${bytes(whole.size)}`, `Downloading ${path}`,
        () => this.#fetch(path, cancelled.signal, shown)));
      const address = URL.createObjectURL(blob);
      element("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      problems.show(this.#part("problems"), error);
    } finally {
      shown.end();
    }
  }

  async #fetch(path, signal, shown) {
    const response = await send("POST", this.#path("/stream/read"), { body: { path }, signal, repeatable: true });
    const all = Number(response.headers.get("Content-Length"));
    const pieces = [];
    let piece = [];
    let pieceBytes = 0;
    let done = 0;
    const reader = response.body.getReader();
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        piece.push(next.value);
        pieceBytes += next.value.length;
        done += next.value.length;
        shown.progress(done, all);
        if (pieceBytes >= PIECE_BYTES) {
          pieces.push(new Blob(piece));
          piece = [];
          pieceBytes = 0;
        }
      }
    } catch (failure) {
      if (failure.name === "AbortError") {
        throw failure;
      }
      throw new ApiError(0, "no_answer", `The connection broke after ${bytes(done)} of ${bytes(all)}.`);
    }
    return new Blob([...pieces, ...piece], { type: "application/octet-stream" });
  }
}

/** Absolute, without empty parts. */
function normal(path) {
  return "/" + path.trim().split("/").filter(part => part !== "").join("/");
}

const parent = path => normal(path.slice(0, path.lastIndexOf("/")));

const within = (folder, name) => (folder === "/" ? "" : folder) + "/" + name;
