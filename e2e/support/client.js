// @ts-check
// Owns what the stories know of a client of others: how to begin following with it, and its limits.
// A limit stands here as something to be seen, and each story checks that it is.

/**
 * What arrived, as the client shows it.
 * @typedef {{ id: string, event: string, data: string | null }} Arrival
 */

/**
 * What a client has come to: all events that it was given, the hub's own ones too; how often the line
 * broke or could not be had; whether it has given up for ever.
 * @typedef {{ arrivals: Arrival[], breaks: number, over: boolean }} Seen
 */

/**
 * One client that follows.
 * @typedef {{ look(): Seen | Promise<Seen>, close(): void | Promise<void> }} Following
 */

/**
 * What can become of a line: it breaks off, it can't be had, the server ends it in good order, or a
 * proxy answers `503`.
 * @typedef {"broken" | "refused" | "stopped" | "unavailable"} Trouble
 */

/**
 * @typedef {{
 *   name: string,
 *   open(owner: import("./server.js").Owner, url: string, headers?: Record<string, string>): Promise<Following>,
 *   tells: "header" | "query",
 *   headers?: boolean,
 *   polls?: boolean,
 *   ends?: { [trouble in Trouble]?: "always" | "sometimes" },
 *   losesBroken?: boolean,
 *   largest?: number,
 *   reads?: (data: string) => string | null,
 * }} Client how it tells its last id; whether it can send headers of its own; whether its answers end
 *   with their first events; what makes it give up; whether it loses an event in whose middle the line
 *   broke; the most characters of an event; how it shows data, if not as it is
 */

/** Names of events that stories publish, for clients that must know them beforehand. */
export const NAMES = ["message", "failed", "note", "eventwall:tick", "eventwall:live", "eventwall:gap"];

/** Whether an event is the hub's own. @param {{ event: string }} arrival */
export function isControl({ event }) {
  return event.startsWith("eventwall:");
}
