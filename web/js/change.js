// @ts-check
// Owns reading what the wall says of a post that is there: it is something else from now on, or gone.

import { isRecord, isWireEvent, readJson } from "./wire.js";

/**
 * @typedef {{ event: string, data: string, by?: string }} Now what a post is from now on
 * @typedef {{ post: string, time: string, now?: Now }} Change of the post of that id, and when; without a `now` it is gone
 */

const EDIT = "eventwall:edit";
const REMOVE = "eventwall:remove";
/** The names of the events that change posts. Only the wall itself can publish them. */
export const CHANGES = [EDIT, REMOVE];

/** @param {string} name @param {string} text @param {(change: Change) => void} use called if it is a change */
export function tellChange(name, text, use) {
  const wire = readJson(text);
  const told = isWireEvent(wire) ? readJson(wire.data) : undefined;
  if (!isWireEvent(wire) || !isRecord(told)) return;
  const { post, event, data } = told;
  if (typeof post !== "string") return;
  const { time, by } = wire;
  if (name === REMOVE) use({ post, time });
  else if (typeof event === "string" && typeof data === "string") use({ post, time, now: { event, data, by } });
}
