// @ts-check
// Decoders of `text/event-stream` for JavaScript side by side, ours among them, in the same cases as those for
// Rust: MiB/s, and again with sixteen times as much in each event, where whatever grows with the square of it
// shows. `npm run --silent bench:decoder`

import { createRequire } from "node:module";
import { Decoder } from "../../web/client/decoder.js";

const require = createRequire(import.meta.url);
const { createParser } = require("eventsource-parser");
const { getBytes, getLines, getMessages } = require("@microsoft/fetch-event-source/lib/cjs/parse.js");
const { EventSourceStream } = require("undici/lib/web/eventsource/eventsource-stream.js");

const ROUNDS = 7;
const AT_LEAST = 150;

/** @typedef {(chunks: Uint8Array[]) => number | Promise<number>} Decode how many events there were */
/** @type {Record<string, Decode>} */
const DECODERS = {
  eventwall(chunks) {
    const decoder = new Decoder("", () => {});
    let count = 0;
    for (const chunk of chunks) for (const event of decoder.feed(chunk)) count += event.data ? 1 : 0;
    return count;
  },
  "eventsource-parser"(chunks) {
    let count = 0;
    const parser = createParser({ onEvent: () => (count += 1) });
    const text = new TextDecoder();
    for (const chunk of chunks) parser.feed(text.decode(chunk, { stream: true }));
    return count;
  },
  undici(chunks) {
    let count = 0;
    const stream = new EventSourceStream({ eventSourceSettings: {}, push: () => (count += 1) });
    stream.processEvent = () => (count += 1);
    for (const chunk of chunks) stream._transform(chunk, "buffer", () => {});
    return count;
  },
  async "fetch-event-source"(chunks) {
    let count = 0;
    const messages = getMessages(() => {}, () => {}, () => (count += 1));
    const lines = getLines(messages);
    const left = [...chunks].reverse();
    const reader = { read: async () => ({ done: left.length === 0, value: left.pop() }) };
    await getBytes({ getReader: () => reader }, lines);
    return count;
  },
};

/** About a MiB of events. @param {string} name @param {number} data @param {number} size of a chunk */
function makeCase(name, data, size) {
  let text = "";
  let events = 0;
  for (; text.length < 1 << 20; events += 1) {
    text += `id: k3x9v0qa-${String(events).padStart(6, "0")}\nevent: status\ndata: ${"x".repeat(data)}\n\n`;
  }
  const whole = Buffer.from(text);
  const chunks = [];
  for (let at = 0; at < whole.length; at += size) chunks.push(new Uint8Array(whole.subarray(at, at + size)));
  return { name, chunks, bytes: whole.length, events };
}

/** MiB/s. @param {Decode} decode @param {ReturnType<typeof makeCase>} of */
async function speed(decode, { chunks, bytes, events }) {
  const began = performance.now();
  let runs = 0;
  for (; performance.now() - began < AT_LEAST; runs += 1) {
    const count = await decode(chunks);
    if (count !== events) throw new Error(`${count} of ${events} events`);
  }
  return (runs * bytes) / (1 << 20) / ((performance.now() - began) / 1000);
}

const CASES = [
  makeCase("170-byte events in 1,460-byte chunks", 122, 1460),
  makeCase("4 KB events in 10-byte chunks", 4096, 10),
  makeCase("64 KB events in 10-byte chunks", 65_536, 10),
  makeCase("64 KB events in 1,460-byte chunks", 65_536, 1460),
];
const names = Object.keys(DECODERS);
console.log(`| MiB/s, median of ${ROUNDS} | ${names.join(" | ")} |\n|---|${"---:|".repeat(names.length)}`);
for (const of of CASES) {
  /** @type {number[][]} */
  const speeds = names.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, decode] of Object.values(DECODERS).entries()) speeds[index]?.push(await speed(decode, of));
  }
  const medians = speeds.map((values) => values.sort((a, b) => a - b)[ROUNDS >> 1]?.toFixed(values[0] && values[0] < 10 ? 1 : 0));
  console.log(`| ${of.name} | ${medians.join(" | ")} |`);
}
