// @ts-check
// What a line that several pages share is of: its address, its topics, and how ids of an Eventwall hub compare.
// Pure functions; they know neither pages nor channels.

import { STARTS } from "./ladder.js";

/** What the name of a line begins with: a page and a relay of different versions do not talk to each other. */
export const PREFIX = "eventwall 1 ";

/**
 * @typedef {import("./ladder.js").Options} Options
 * @typedef {object} Line what pages that share it have in common
 * @property {string} url without topics and where to begin
 * @property {Options} options
 * @property {boolean} asks its requests need a token, which the pages have
 */

/**
 * The name of the line that would carry what `url` asks for, and the topics that it asks for; nothing if no
 * other page can share it.
 * @param {string} url
 * @param {boolean | string} share
 * @param {Options} options
 */
export function sharedBy(url, share, { token, headers, method, body, fetch, lastEventId: _, ...rest }) {
  const line = new URL(url);
  const [, prefix, topic] = /^(.*?)\/topics\/(.+)$/.exec(line.pathname) ?? [];
  const topics = topic ? [decodeURIComponent(topic)] : line.searchParams.getAll("topic");
  if (topic) line.pathname = `${prefix}/events`;
  if (!line.pathname.endsWith("/events") || line.searchParams.has("wait") || method || body || fetch) return;
  for (const name of ["topic", "lastEventID", "last_event_id", ...STARTS]) line.searchParams.delete(name);
  line.searchParams.sort();
  const options = { ...rest, headers: [...new Headers(headers)] };
  return { topics, key: PREFIX + JSON.stringify({ share, url: line.href, options, asks: Boolean(token) }) };
}

/** @param {string} key the line's name @returns {Line} */
export const lineOf = (key) => JSON.parse(key.slice(PREFIX.length));

/** Positions grow along a log, from epoch to epoch, too; NaN for what is no id of a hub. @param {string} id */
export const position = (id) => Number(/^\w+-(\d+)$/.exec(id)?.[1]);

/** Whether it tells of a log that knows nothing of the ids before. @param {{ type: string, data: string }} frame */
export const isForeign = ({ type, data }) => type === "eventwall:gap" && !data.includes('"expired"');

/** Whether a topic or pattern stands for that topic. @param {string} pattern @param {string} topic */
export function covers(pattern, topic) {
  const [wanted, segments] = [pattern.split("/"), topic.split("/")];
  const more = wanted.at(-1) === "**" ? segments.length >= wanted.length : segments.length === wanted.length;
  const each = () => wanted.every((segment, i) => segment === segments[i] || /^\*\*?$/.test(segment));
  // What begins with a dollar sign is named in full.
  return pattern === topic || (more && topic[0] !== "$" && each());
}
