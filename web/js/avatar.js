// @ts-check
// Owns what stands for an author whose picture nobody has: letters of the name, and a colour. Pure, and the same
// as `avatar.rs` of the wall: both are held to web/vectors/avatars.json.

import { isPictures } from "./rich.js";

/** Colours to choose from; the style sheet has as many. */
const HUES = 12;

/** @param {string} name @returns {{ letters: string, hue: number }} */
export function avatarOf(name) {
  const words = name.split(/\s+/u).filter(Boolean);
  const ends = words.length > 1 ? [words[0], words.at(-1)] : words;
  const firsts = ends.map((word) => [...(word ?? "")][0] ?? "");
  const letters = firsts.find(isPictures) ?? firsts.join("").toUpperCase();
  // FNV-1a, of 32 bits.
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return { letters, hue: hash % HUES };
}
