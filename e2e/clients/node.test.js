// @ts-check
// Owns the stories as told of clients for Node.

import { describe, test } from "node:test";

import { STORIES } from "../support/stories/index.js";
import { CLIENTS } from "./support/clients.js";

// They wait most of the time, each for a server of its own.
describe("clients for Node", { concurrency: STORIES.length }, () => {
  for (const { title, tell } of STORIES) test(title, (t) => tell(t, CLIENTS));
});
