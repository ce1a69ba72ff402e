// Requests to the API, with the session's token.

import { session } from "./session.js";

/** What the server answered instead, or that there was no answer. */
export class ApiError extends Error {
  constructor(status, code, message, { retryAfter = null, requestId = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }
}

export const sandboxPath = id => `/v1/sandboxes/${encodeURIComponent(id)}`;

/** Dispatches "expired" when the server does not take the token any more. */
export const events = new EventTarget();

/** How far the server's clock is ahead, in ms; its answers carry whole seconds. */
export let serverAheadMs = 0;

/** Authorization and what else a request needs. */
export function headers(more = {}) {
  const current = session.current();
  return current ? { Authorization: `Bearer ${current.token}`, ...more } : more;
}

/** An error from the body of an answer, as text. */
export function errorOf(status, text, header) {
  let code = "http_" + status;
  let message = `The server answered ${status}.`;
  try {
    const error = JSON.parse(text).error;
    code = String(error.code);
    message = String(error.message);
  } catch {
    // not ours: a proxy's, perhaps
  }
  if (status === 401 && session.current()) {
    events.dispatchEvent(new Event("expired"));
  }
  return new ApiError(status, code, message, { retryAfter: header("Retry-After"), requestId: header("X-Request-Id") });
}

/** For requests that make something: repeated with the same key they make it once. */
export const once = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");

// Browsers drop what they are sending when the machine's network changes, which it does with each new sandbox when both
// are on one machine.
const AGAIN_AFTER_MS = [200, 1000];

/**
 * The raw answer, if it is one of success. Without any answer, what may be repeated is: what is said to be repeatable,
 * has a key, or is no POST.
 */
export async function send(method, path, { body, signal, key, repeatable = method !== "POST" || Boolean(key) } = {}) {
  const request = {
    method,
    headers: headers({
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(key ? { "Idempotency-Key": key } : {}),
    }),
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    cache: "no-store",
  };
  const response = await answer(path, request, repeatable ? AGAIN_AFTER_MS : []);
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (!Number.isNaN(date)) {
    const ahead = date + 500 - Date.now();
    serverAheadMs = Math.abs(ahead) > 2000 ? ahead : 0;
  }
  if (!response.ok) {
    throw errorOf(response.status, await response.text(), name => response.headers.get(name));
  }
  return response;
}

async function answer(path, request, delays) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await fetch(path, request);
    } catch (failure) {
      if (failure.name === "AbortError") {
        throw failure;
      }
      if (tries >= delays.length) {
        throw new ApiError(0, "no_answer", "The server cannot be reached.");
      }
      await new Promise(resolve => setTimeout(resolve, delays[tries]));
    }
  }
}

/** The object of the answer; undefined when it has none. */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? undefined : response.json();
}

export const now = () => Date.now() + serverAheadMs;
