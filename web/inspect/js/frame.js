// @ts-check
// Owns what the page knows of one frame of a stream; never touches the page. Its data may be cut,
// so that hundreds of frames stay small whatever comes.

import { isRecord, readJson } from "../../js/wire.js";

/**
 * @typedef {import("../../js/wire.js").Gap} Gap
 * @typedef {import("./sse.js").Item} Item
 * @typedef {import("./sse.js").EventItem} EventItem
 * @typedef {"event" | "ephemeral" | "tick" | "live" | "gap" | "hub" | "comment" | "retry" | "oversized" | "line"} Kind
 *   `hub`: an event of the hub's own that this page does not know; `line`: said by the page itself
 * @typedef {object} Frame
 * @property {Kind} kind
 * @property {number} at when it came
 * @property {string} id its own: empty for what was never in the log
 * @property {string} [topic]
 * @property {string} [name] the event's
 * @property {string} [time] when it was published
 * @property {string} [by]
 * @property {string} data or the page's words
 * @property {number} length of the whole data
 * @property {Gap} [gap]
 */

/** UTF-16 units of an event's data that are kept. */
const KEPT = 16 * 1024;

const OWN = "eventwall:";
/** @type {Map<string, Kind>} */
const KNOWN = new Map([["eventwall:tick", "tick"], ["eventwall:live", "live"], ["eventwall:gap", "gap"]]);

/**
 * @param {Item} item
 * @param {number} at
 * @returns {Frame}
 */
export function frameOf(item, at) {
  switch (item.kind) {
    case "event":
      return item.event.startsWith(OWN) ? own(item, at) : published(item, at);
    case "retry":
      return { kind: "retry", at, id: "", ...kept(`${item.ms} ms`) };
    case "comment":
      return { kind: "comment", at, id: "", ...kept(item.text) };
    case "oversized":
      return { kind: "oversized", at, id: "", ...kept("") };
  }
}

/**
 * What the page has to say about its line.
 * @param {string} words
 * @param {number} at
 * @param {string} [id]
 * @returns {Frame}
 */
export const lineFrame = (words, at, id = "") => ({ kind: "line", at, id, ...kept(words) });

/** @param {EventItem} item @param {number} at @returns {Frame} */
function own({ event, data, id }, at) {
  const gap = readJson(data);
  return { kind: KNOWN.get(event) ?? "hub", at, id, name: event, ...kept(data), gap: isRecord(gap) ? gap : undefined };
}

/**
 * With `?as=json` the data is an object that says it all.
 * @param {EventItem} item
 * @param {number} at
 * @returns {Frame}
 */
function published(item, at) {
  const json = readJson(item.data);
  if (!isRecord(json)) return { kind: "event", at, id: item.id, topic: item.topic, name: item.event, ...kept(item.data) };
  /** @param {string} key */
  const text = (key) => (typeof json[key] === "string" ? /** @type {string} */ (json[key]) : undefined);
  const id = text("id") ?? "";
  const said = { topic: text("topic"), name: text("event"), time: text("time"), by: text("by") };
  return { kind: id ? "event" : "ephemeral", at, id, ...said, ...kept(text("data") ?? "") };
}

/** @param {string} data */
function kept(data) {
  return { data: data.length > KEPT ? copied(data.slice(0, KEPT)) : data, length: data.length };
}

/**
 * A slice would keep alive all of what it was cut from.
 * @param {string} text
 */
const copied = (text) => new TextDecoder().decode(new TextEncoder().encode(text));
