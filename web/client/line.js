// @ts-check
// What a line that several pages share is of: its address, its topics, and how ids of an Eventwall hub compare.
// Pure functions; they know neither pages nor channels.

import { STARTS } from "./ladder.js";

/** What the name of a line begins with: a page and a relay of different versions do not talk to each other. */
export const PREFIX = "eventwall 2 ";

/**
 * @typedef {import("./ladder.js").Options} Options
 * @typedef {[url: string, options: Options, asks: boolean, share: boolean | string]} Line what pages that share it
 *   have in common: its URL without topics and where to begin, and whether requests need a token, which the pages have
 */

/**
 * The name of the line that would carry what `url` asks for, and the topics that it asks for; nothing if no
 * other page can share it.
 * @param {string} url
 * @param {boolean | string} share
 * @param {Options} options
 * @returns {[key: string, topics: string[]] | undefined}
 */
export function sharedBy(url, share, { token, headers, method, body, fetch, lastEventId: _, ...rest }) {
  const line = new URL(url);
  const [path, topic] = line.pathname.split(/\/topics\/(.+)/);
  const topics = topic ? [decodeURIComponent(topic)] : line.searchParams.getAll("topic");
  if (topic) line.pathname = `${path}/events`;
  if (!line.pathname.endsWith("/events") || line.searchParams.has("wait") || method || body || fetch) return;
  for (const name of ["topic", "lastEventID", "last_event_id", ...STARTS]) line.searchParams.delete(name);
  line.searchParams.sort();
  const options = { ...rest, headers: [...new Headers(headers)] };
  return [PREFIX + JSON.stringify([line.href, options, Boolean(token), share]), topics];
}

/** @param {string} key the line's name @returns {Line} */
export const lineOf = (key) => JSON.parse(key.slice(PREFIX.length));

/** Positions grow along a log, from epoch to epoch, too; NaN for what is no id of a hub. @param {any} id */
export const position = (id) => Number(/^\w+-(\d+)$/.exec(id)?.[1]);

/** Whether it tells of a log that knows nothing of the ids before. @param {{ type: string, data: string }} frame */
export const isForeign = ({ type, data }) => type === "eventwall:gap" && !data.includes('"expired"');

/** What an event says of the gap before it. @param {{ data: string }} frame @returns {Partial<import("./eventwall.js").Gap>} */
export function gapIn({ data }) {
  try {
    return JSON.parse(data);
  } catch {
    return {};
  }
}

/** Whether a topic or pattern stands for that topic. @param {string} pattern @param {string} topic */
export function covers(pattern, topic) {
  const [wanted, segments] = [pattern.split("/"), topic.split("/")];
  const more = segments.length - wanted.length;
  const long = !more || (more > 0 && wanted.at(-1) === "**");
  const each = () => wanted.every((segment, i) => segment === segments[i] || /^\*\*?$/.test(segment));
  // What begins with a dollar sign is named in full.
  return pattern === topic || (long && topic[0] !== "$" && each());
}
