// @ts-check
// Owns recording what comes out of everything with the shape of the browsers' EventSource.

import { NAMES } from "../../support/client.js";

/**
 * @typedef {import("../../support/client.js").Arrival} Arrival
 * @typedef {import("../../support/client.js").Following} Following
 * @typedef {{ data: string, lastEventId: string }} Message
 * @typedef {{ readyState: number, addEventListener(type: string, listener: (event: any) => void): void, close(): void }} Source
 */

const CLOSED = 2;

/**
 * @param {Source} source
 * @returns {Following}
 */
export function following(source) {
  /** @type {Arrival[]} */
  const arrivals = [];
  let breaks = 0;
  for (const event of NAMES) {
    const arrived = (/** @type {Message} */ { data, lastEventId }) => arrivals.push({ id: lastEventId, event, data });
    source.addEventListener(event, arrived);
  }
  source.addEventListener("error", () => (breaks += 1));
  return {
    look: () => ({ arrivals, breaks, over: source.readyState === CLOSED }),
    close: () => source.close(),
  };
}
