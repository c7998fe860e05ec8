// @ts-check
// Owns the stories as told of undici's EventSource.

import { describe, test } from "node:test";

import { STORIES } from "../support/stories/index.js";
import { undici6, undici7 } from "./support/undici.js";

// They wait most of the time, each for a server of its own.
describe("undici", { concurrency: STORIES.length }, () => {
  for (const { title, tell } of STORIES) test(title, (t) => tell(t, [undici7, undici6]));
});
