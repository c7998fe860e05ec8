// @ts-check
// Owns what is followed and from where, and how URLs spell it: the page's query is the hub's own,
// so either can be pasted behind the other's path. Never judges it, for the hub does.

/**
 * @typedef {"now" | "last" | "since" | "after"} Start
 * @typedef {{ topics: string[], start: Start, value: string }} Query
 */

const EVERYTHING = "**";
/** In the order in which the hub looks for them. @type {Start[]} */
const STARTS = ["after", "since", "last"];

/**
 * @param {string} search of the page's URL
 * @returns {Query}
 */
export function readQuery(search) {
  const params = new URLSearchParams(search);
  const topics = params.getAll("topic").filter((topic) => topic !== "");
  const start = STARTS.find((name) => params.get(name)) ?? "now";
  return { topics: topics.length > 0 ? topics : [EVERYTHING], start, value: params.get(start) ?? "" };
}

/**
 * @param {Query} query
 * @returns {string} beginning with `?`
 */
export function toSearch({ topics, start, value }) {
  const params = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  if (start !== "now" && value !== "") params.set(start, value);
  return `?${params}`.replaceAll("%2F", "/");
}

/** @param {Query} query */
export const streamUrl = (query) => `/events${toSearch(query)}&as=json`;

// In the form spaces part the topics. One within a name is written as in a URL.

/** @param {string[]} topics */
export const topicsAsText = (topics) =>
  topics.map((topic) => topic.replaceAll("%", "%25").replaceAll(" ", "%20")).join(" ");

/**
 * @param {string} text
 * @returns {string[]}
 */
export function topicsInText(text) {
  const words = text.split(/\s+/).filter((word) => word !== "");
  const topics = words.map((word) => word.replaceAll("%20", " ").replaceAll("%25", "%"));
  return topics.length > 0 ? topics : [EVERYTHING];
}
