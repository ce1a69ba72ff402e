// The page: entrance when nobody is logged in, desk otherwise.

import { ApiError, events } from "./api.js";
import * as activity from "./activity.js";
import { byId } from "./dom.js";
import * as entrance from "./entrance.js";
import * as keys from "./keys.js";
import * as sandboxes from "./sandboxes.js";
import { session } from "./session.js";
import * as snapshots from "./snapshots.js";

function showDesk() {
  entrance.hide();
  byId("desk").hidden = false;
  byId("who").hidden = false;
  byId("email").textContent = session.current().email;
  snapshots.refresh();
  keys.refresh();
  sandboxes.start();
}

function showEntrance(error = null) {
  byId("desk").hidden = true;
  byId("who").hidden = true;
  entrance.show(error);
  byId("account-email").focus();
}

function leave(error = null) {
  if (!session.current()) {
    return;
  }
  session.end();
  sandboxes.stop();
  keys.hideSecret();
  activity.clear();
  showEntrance(error);
}

entrance.wire(() => {
  showDesk();
  byId("main").focus();
});
keys.wire();
snapshots.wire(sandboxes.createFrom);
sandboxes.wire();
byId("log-out").addEventListener("click", () => leave());
events.addEventListener("expired", () => leave(new ApiError(401, "unauthorized", "Your log-in has ended. Log in again.")));

if (session.current()) {
  showDesk();
} else {
  showEntrance();
}
