// One command: stdout, stderr, exit code, how long it took.

import { call, sandboxPath } from "./api.js";
import { noted } from "./activity.js";
import { whileBusy } from "./dom.js";
import { milliseconds } from "./format.js";
import * as problems from "./problems.js";

const LOGGED_CHARACTERS_MAX = 60;

export function wire(id, panel) {
  const part = name => panel.querySelector("." + name);
  part("command-form").addEventListener("submit", event => {
    event.preventDefault();
    run(id, part);
  });
}

async function run(id, part) {
  const line = part("command").value;
  const shown = line.length > LOGGED_CHARACTERS_MAX ? line.slice(0, LOGGED_CHARACTERS_MAX) + "…" : line;
  problems.clear(part("problems"));
  part("result").hidden = true;
  const body = { cmd: "/bin/sh", args: ["-c", line] };
  if (part("limit").value !== "") {
    body.timeout_sec = Number(part("limit").value);
  }
  try {
    const result = await whileBusy(part("run"), () => noted(
      ended => `Ran “${shown}”: ${verdict(ended)}`, `Running “${shown}”`,
      () => call("POST", `${sandboxPath(id)}/exec`, { body })));
    show(result, part);
  } catch (error) {
    problems.show(part("problems"), error);
  }
}

function verdict(result) {
  if (result.timed_out) {
    return "ended at its time limit";
  }
  return result.signal ? `ended by signal ${result.signal}` : `exit code ${result.exit_code}`;
}

function show(result, part) {
  const good = result.exit_code === 0 && !result.timed_out;
  const notes = [verdict(result), milliseconds(result.duration_ms)];
  if (result.truncated) {
    notes.push("output cut at 8 MiB");
  }
  if (result.encoding === "base64") {
    notes.push("not UTF-8: what is no text is shown as �");
  }
  part("verdict").textContent = notes.join(" · ");
  part("verdict").className = `verdict ${good ? "good" : "bad"}`;
  part("stdout").textContent = text(result.stdout, result.encoding);
  part("stderr").textContent = text(result.stderr, result.encoding);
  part("result").hidden = false;
}

function text(output, encoding) {
  if (encoding !== "base64") {
    return output;
  }
  return new TextDecoder().decode(Uint8Array.from(atob(output), character => character.charCodeAt(0)));
}
