// @ts-check
// Owns the list of stories. Each is told of all clients at once, since they can wait for the same
// server, and is then judged for each of them by itself.

import { allArrives } from "./arriving.js";
import { brokenInTheMiddle, unavailable } from "./breaking.js";
import { afterAGap, afterKills, afterOnlyATick, afterStops, duringADrain } from "./returning.js";

/**
 * @typedef {import("node:test").TestContext} TestContext
 * @typedef {import("../client.js").Client} Client
 * @typedef {{ title: string, tell(t: TestContext, clients: Client[]): Promise<void> }} Story
 */

/** @type {Story[]} */
export const STORIES = [
  { title: "history and what follows arrives as it was published", tell: allArrives },
  { title: "a server that is killed, and is back at once or later, loses and doubles nothing", tell: afterKills },
  { title: "a server that is asked to stop loses and doubles nothing", tell: afterStops },
  { title: "who had only heard a tick misses nothing", tell: afterOnlyATick },
  { title: "newcomers are put off by a server that is going down, not turned away", tell: duringADrain },
  { title: "a log that was lost is told as a gap", tell: afterAGap },
  { title: "a line that breaks in the middle of an event", tell: brokenInTheMiddle },
  { title: "a proxy that answers 503", tell: unavailable },
];
