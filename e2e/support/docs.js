// @ts-check
// Owns finding the examples in docs/clients.md, for a server that runs somewhere else.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

/**
 * The blocks of a language, under the heading that each stands under.
 * @param {"html" | "js" | "sh"} language
 * @param {string} origin of the server that they should ask
 */
export async function examples(language, origin) {
  const text = await readFile(new URL("../../docs/clients.md", import.meta.url), "utf8");
  const found = text.matchAll(/^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$/gms);
  let heading = "";
  const blocks = [];
  for (const [, title, language_, block = ""] of found) {
    heading = title ?? heading;
    if (language_ === language) blocks.push({ heading, text: block.replaceAll("http://127.0.0.1:8080", origin) });
  }
  assert.ok(blocks.length > 0, `docs/clients.md has no example in ${language}`);
  return blocks;
}
