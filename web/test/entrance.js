// Sign-up, log-in, and log-in through a provider.

import { call } from "./api.js";
import { noted } from "./activity.js";
import { byId, whileBusy } from "./dom.js";
import * as problems from "./problems.js";
import { session } from "./session.js";

let signsUp = false;

function switchTo(signUp) {
  signsUp = signUp;
  const word = signUp ? "Sign up" : "Log in";
  byId("entrance-title").textContent = word;
  byId("enter").textContent = word;
  byId("switch-question").textContent = signUp ? "Have an account already?" : "No account yet?";
  byId("switch").textContent = signUp ? "Log in" : "Sign up";
  byId("password-hint").hidden = !signUp;
  byId("account-password").autocomplete = signUp ? "new-password" : "current-password";
  problems.clear(byId("entrance-problems"));
}

async function enter(onSession) {
  const email = byId("account-email").value;
  const password = byId("account-password").value;
  const where = byId("entrance-problems");
  problems.clear(where);
  try {
    const path = signsUp ? "/v1/auth/signup" : "/v1/auth/login";
    const given = await whileBusy(byId("enter"), () => noted(
      answer => `${signsUp ? "Signed up" : "Logged in"} as ${answer.email}`,
      signsUp ? "Sign-up" : "Log-in",
      () => call("POST", path, { body: { email, password }, repeatable: !signsUp })));
    byId("account-password").value = "";
    session.begin(given);
    onSession();
  } catch (error) {
    const other = error.code === "email_taken" ? [{ label: "Log in instead", run: () => switchTo(false) }] : [];
    problems.show(where, error, other);
  }
}

/** The button of a provider is there when the server has that provider. */
async function offerProviders() {
  try {
    const { providers } = await call("GET", "/v1/auth/oauth");
    byId("providers").hidden = !providers.includes("github");
  } catch {
    byId("providers").hidden = true; // one can log in without
  }
}

export function show(error = null) {
  byId("entrance").hidden = false;
  if (error) {
    problems.show(byId("entrance-problems"), error);
  }
  offerProviders();
}

export function hide() {
  byId("entrance").hidden = true;
  problems.clear(byId("entrance-problems"));
}

export function wire(onSession) {
  byId("switch").addEventListener("click", () => {
    switchTo(!signsUp);
    byId("account-email").focus();
  });
  byId("credentials").addEventListener("submit", event => {
    event.preventDefault();
    enter(onSession);
  });
  byId("github").addEventListener("click", () => {
    session.comeBackHere();
    location.assign("/v1/auth/oauth/github");
  });
}
