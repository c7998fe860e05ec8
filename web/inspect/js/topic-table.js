// @ts-check
// Owns the table of topics; never counts. Rows stay where they are, only numbers change.

import { byId, cloneOf, part, say } from "../../js/dom.js";
import { toSearch } from "./query.js";
import { count, rate, timeOfDay } from "./words.js";

/**
 * @typedef {import("./tally.js").Tally} Tally
 * @typedef {import("./tally.js").TopicRow} TopicRow
 */

const MOST = 100;

export class TopicTable {
  #body = byId("topics", HTMLElement);
  #note = byId("topics-note", HTMLElement);
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /** @param {Tally} tally @param {number} now */
  draw(tally, now) {
    const topics = tally.topics(MOST, now);
    const rows = topics.map((topic) => this.#rows.get(topic.topic) ?? newRow(topic.topic));
    this.#rows = new Map(topics.map(({ topic }, i) => [topic, /** @type {HTMLElement} */ (rows[i])]));
    for (const [i, topic] of topics.entries()) fill(/** @type {HTMLElement} */ (rows[i]), topic);
    this.#place(rows);
    this.#describe(tally, topics.length);
  }

  // Nothing moves unless it must: whoever is about to press a link should hit it.
  /** @param {HTMLElement[]} rows */
  #place(rows) {
    const there = [...this.#body.children];
    if (there.length === rows.length && there.every((row, i) => row === rows[i])) return;
    this.#body.replaceChildren(...rows);
  }

  /** @param {Tally} tally @param {number} shown */
  #describe({ topicCount, forgotten }, shown) {
    const more = topicCount - shown;
    const parts = [];
    if (shown === 0) parts.push("No events yet.");
    if (more > 0) parts.push(`The ${count(shown)} that spoke last, of ${count(topicCount)}.`);
    if (forgotten > 0) parts.push(`${count(forgotten)} that were silent for longest are no longer counted.`);
    say(this.#note, parts.join(" "));
  }
}

/** @param {string} topic */
function newRow(topic) {
  const row = cloneOf("topic-template");
  const link = part(row, "a", HTMLAnchorElement);
  link.href = toSearch({ topics: [topic], start: "last", value: "10" });
  link.textContent = topic;
  return row;
}

/** @param {HTMLElement} row @param {TopicRow} topic */
function fill(row, { count: events, perSecond, id, time }) {
  say(part(row, ".topic-count", Element), count(events));
  say(part(row, ".topic-rate", Element), rate(perSecond));
  say(part(row, ".topic-id", Element), id);
  say(part(row, ".topic-time", Element), timeOfDay(time));
}
