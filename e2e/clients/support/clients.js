// @ts-check
// Owns the clients for Node that bring their own HTTP or use Node's `fetch`, each used as its own
// documentation says.

import { EventSource as EventSource4 } from "eventsource";
import EventSource1 from "eventsource-1";
import EventSource2 from "eventsource-2";
import { createEventSource } from "eventsource-client";

import { Eventwall } from "../../../web/client/eventwall.js";
import { following } from "./following.js";

/**
 * @typedef {import("../../support/client.js").Arrival} Arrival
 * @typedef {import("../../support/client.js").Client} Client
 */

/** @type {Client} */
const eventsource4 = {
  name: "eventsource 4",
  async open(_owner, url, headers = {}) {
    const withHeaders = (/** @type {string | URL} */ target, /** @type {RequestInit} */ init) =>
      fetch(target, { ...init, headers: { .../** @type {object} */ (init.headers), ...headers } });
    return following(new EventSource4(url, { fetch: withHeaders }));
  },
  tells: "header",
  headers: true,
  ends: { unavailable: "always" },
};

/** @type {Client} */
const eventsource2 = {
  name: "eventsource 2",
  open: async (_owner, url, headers) => following(new EventSource2(url, headers && { headers })),
  tells: "header",
  headers: true,
  losesBroken: true,
};

/** @type {Client} */
const eventsource1 = {
  ...eventsource2,
  name: "eventsource 1",
  open: async (_owner, url, headers) => following(new EventSource1(url, headers && { headers })),
};

/** @type {Client} */
const eventsourceClient = {
  name: "eventsource-client",
  async open(_owner, url, headers = {}) {
    /** @type {Arrival[]} */
    const arrivals = [];
    let breaks = 0;
    const client = createEventSource({
      url,
      headers,
      onMessage: ({ id = "", event = "message", data }) => arrivals.push({ id, event, data }),
      onScheduleReconnect: () => (breaks += 1),
    });
    return {
      look: () => ({ arrivals, breaks, over: client.readyState === "closed" }),
      close: () => client.close(),
    };
  },
  tells: "header",
  headers: true,
};

/** @type {Client} */
const eventwall = {
  name: "eventwall.js",
  open: async (_owner, url, headers) => following(new Eventwall(url, { headers })),
  tells: "header",
  headers: true,
};

export const CLIENTS = [eventwall, eventsource4, eventsource2, eventsource1, eventsourceClient];
