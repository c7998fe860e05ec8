// @ts-check
// Owns reading a post out of an event; never touches the page.

import { visitor } from "./page.js";
import { isRecord, readJson } from "./wire.js";

/**
 * @typedef {import("./wire.js").WireEvent} WireEvent
 * @typedef {"status" | "checkin" | "forward" | "direct"} Kind
 * @typedef {{ author?: string, text?: string, place?: string, location?: string, through?: string }} Words
 * @typedef {Words & { id: string, kind: Kind, time: string, mine: boolean, trusted: boolean, edited: boolean, raw: string }} Post
 */

/** Event names on the wire, and the kind of post each one is. */
export const KINDS = new Map(
  /** @type {[string, Kind][]} */ ([
    ["message", "status"],
    ["checkin", "checkin"],
    ["forward", "forward"],
    ["direct", "direct"],
  ]),
);

/**
 * The post, or undefined for an event that is none of the four kinds.
 * @param {WireEvent} wire
 * @returns {Post | undefined}
 */
export function readPost(wire) {
  const kind = KINDS.get(wire.event);
  if (!kind) return undefined;
  const words = readWords(kind, readJson(wire.data));
  const { id, time, by = "" } = wire;
  const mine = by !== "" && by === visitor;
  const origin = { id, time, mine, trusted: !by.startsWith("visitor:"), edited: Boolean(wire.edited), raw: wire.data };
  // Data in no known shape is somebody's plain text: show all of it, claim no author.
  return words ? { ...origin, kind, ...words } : { ...origin, kind: "status", text: wire.data };
}

/**
 * @param {Kind} kind
 * @param {unknown} data
 * @returns {Words | undefined}
 */
function readWords(kind, data) {
  if (!isRecord(data)) return undefined;
  const author = words(data.from);
  const text = words(data.msg);
  const place = words(data.place);
  const location = words(data.location);
  if (!author) return undefined;
  if (kind === "checkin") return place ? { author, place, location } : undefined;
  if (!text) return undefined;
  return { author, text, location, through: kind === "forward" ? words(data.through) : undefined };
}

/** @param {unknown} value */
function words(value) {
  return typeof value === "string" && value.trim() ? value : undefined;
}
