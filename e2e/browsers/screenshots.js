// @ts-check
// Owns making the pictures in docs/images: `npm run screenshots`. Look at each of them.

import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { Server } from "../support/server.js";
import { Browsers } from "./support/browser.js";
import { fill, PICTURES, take } from "./support/pictures.js";

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));

/** @type {(() => Promise<void>)[]} */
const cleaning = [];
const owner = { after: (/** @type {() => Promise<void>} */ clean) => void cleaning.unshift(clean) };
try {
  const browsers = new Browsers((clean) => owner.after(clean));
  const server = await Server.start(owner);
  const page = await browsers.page(owner, "chromium", "light", "window");
  await fill(page, server);
  await mkdir(IMAGES, { recursive: true });
  for (const picture of PICTURES) {
    await writeFile(`${IMAGES}${picture.file}.png`, await take(page, server, picture));
    console.log(`docs/images/${picture.file}.png`);
  }
} finally {
  for (const clean of cleaning) await clean();
}
