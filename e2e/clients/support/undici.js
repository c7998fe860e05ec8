// @ts-check
// Owns undici's EventSource, of the two versions in use. Apart from the other clients: undici, once
// loaded, also serves Node's own `fetch`, and would stand in for what they use.

import { Agent, EventSource as EventSource7 } from "undici";
import { EventSource as EventSource6 } from "undici-6";

import { following } from "./following.js";

/** @typedef {import("../../support/client.js").Client} Client */

/** @type {Client} */
export const undici7 = {
  name: "undici 7",
  async open(owner, url) {
    const dispatcher = new Agent();
    owner.after(() => dispatcher.destroy());
    return following(new EventSource7(url, { node: { dispatcher } }));
  },
  tells: "header",
  ends: { unavailable: "always" },
};

/** @type {Client} */
export const undici6 = {
  ...undici7,
  name: "undici 6",
  open: async (_owner, url) => following(new EventSource6(url)),
  ends: { ...undici7.ends, refused: "always", stopped: "sometimes" },
};
