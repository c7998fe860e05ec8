// @ts-check
// Owns files that are gone when their test is.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/**
 * A place for a file of that name.
 * @param {import("./server.js").Owner} owner
 * @param {string} name
 */
export async function temporary(owner, name) {
  const directory = await mkdtemp(path.join(tmpdir(), "eventwall-e2e-"));
  owner.after(() => rm(directory, { recursive: true, force: true }));
  return path.join(directory, name);
}
