// @ts-check
// Owns that the page makes the same of a post's words and of its author's name as the server: the vectors that
// both are held to.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { avatarOf } from "../../web/js/avatar.js";
import { isPictures, partsOf } from "../../web/js/rich.js";

/** @param {string} name @returns {Promise<any[]>} */
async function vectors(name) {
  return JSON.parse(await readFile(new URL(`../../web/vectors/${name}.json`, import.meta.url), "utf8"));
}

test("names become avatars as the vectors say", async () => {
  const all = await vectors("avatars");
  assert.ok(all.length > 5);
  for (const { name, avatar } of all) assert.deepEqual(avatarOf(name), avatar, `of ${name}`);
});

test("texts fall into parts as the vectors say", async () => {
  const all = await vectors("text");
  assert.ok(all.length > 20);
  for (const { text, parts, pictures } of all) {
    assert.deepEqual(partsOf(text), parts, `of ${JSON.stringify(text)}`);
    assert.equal(isPictures(text), pictures === true, `of ${JSON.stringify(text)}`);
  }
});
