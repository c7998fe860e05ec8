// @ts-check
// Owns setting out JSON on lines. It only moves white space: numbers beyond JavaScript's, double
// keys and their order stay as they were written.

import { readJson } from "../../js/wire.js";

const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g;
/** Deeper levels are set out like this one, or brackets alone could fill the memory. */
const DEEPEST = 40;

/**
 * @param {string} text
 * @returns {string} the text itself if it is no JSON
 */
export function pretty(text) {
  if (readJson(text) === undefined) return text;
  const tokens = text.match(TOKENS) ?? [];
  let depth = 0;
  const line = () => `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;
  const set = tokens.map((token, i) => {
    if (/^[{[]$/.test(token)) return (depth += 1), isClosing(tokens[i + 1]) ? token : token + line();
    if (isClosing(token)) return (depth -= 1), isOpening(tokens[i - 1]) ? token : line() + token;
    if (token === ",") return token + line();
    return token === ":" ? ": " : token;
  });
  return set.join("");
}

/** @param {string | undefined} token */
const isOpening = (token) => token === "{" || token === "[";

/** @param {string | undefined} token */
const isClosing = (token) => token === "}" || token === "]";
