// @ts-check
// Makes what the hub serves from these modules: one small file for everything, and one for EventSource alone.
// What it makes is in the repository, so that nobody needs Node to build the hub; a test tells when it is old.

import { readFile, writeFile } from "node:fs/promises";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

export const NAMES = ["eventwall.js", "eventsource.js"];

/** @param {string} name */
export const served = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** @param {string} name */
export async function bundle(name) {
  const made = await build({
    entryPoints: [fileURLToPath(new URL(name, import.meta.url))],
    bundle: true,
    minify: true,
    // What the modules say to each other only, and never over a channel.
    mangleProps: /^(_.*|why|heard|lived|clean|silent|fatal|quiet|advance|retune|leave|wake)$/,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const [file] = made.outputFiles;
  if (!file) throw new Error(`esbuild made nothing of ${name}`);
  // It puts constants where they are used, and what else esbuild leaves.
  const compress = {
    passes: 3,
    pure_getters: true,
    unsafe: true,
    unsafe_arrows: true,
    unsafe_math: true,
    unsafe_methods: true,
  };
  const { code } = await minify(file.text, { module: true, ecma: 2020, compress });
  return code ?? "";
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of NAMES) {
    await writeFile(served(name), await bundle(name));
    console.log(`${name}: ${(await readFile(served(name))).length} bytes`);
  }
}
