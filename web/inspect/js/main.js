// @ts-check
// Owns how the parts are joined; must never grow logic of its own.

import { byId, say } from "../../js/dom.js";
import { Status } from "../../js/status.js";
import { Breaks } from "./breaks.js";
import { Figures } from "./figures.js";
import { FollowForm } from "./follow.js";
import { Health } from "./health.js";
import { FrameList } from "./list.js";
import { Publisher } from "./publisher.js";
import { Session } from "./session.js";
import { TopicTable } from "./topic-table.js";

/** Numbers change this often, and no more. */
const BEAT = 1_000;

const status = new Status({ cut: "cut by hand", refused: "refused" });
const list = new FrameList();
const breaks = new Breaks();
const figures = new Figures();
const topics = new TopicTable();
const line = byId("cut", HTMLButtonElement);
/** @type {Session | undefined} */
let session;
const form = new FollowForm(follow);

new Publisher();
new Health();
setInterval(draw, BEAT);
line.addEventListener("click", () => (session?.down ? session.resume() : session?.cut()));

/** @param {import("./query.js").Query} query */
function follow(query) {
  session?.leave();
  list.clear();
  breaks.clear();
  session = new Session(query, { list, breaks, onState, onRefused: (words) => form.complain(words) });
  draw();
}

/** @param {import("./connection.js").State} state @param {number} [nextTry] */
function onState(state, nextTry) {
  status.show(state, nextTry);
  if (state === "live") form.complain("");
  draw();
}

function draw() {
  if (!session) return;
  const now = Date.now();
  figures.draw(session, now);
  topics.draw(session.tally, now);
  breaks.draw();
  say(line, session.down ? resumeWords(session.cursor) : "Cut the line");
}

/** @param {string} cursor */
const resumeWords = (cursor) => (cursor ? `Resume after ${cursor}` : "Try again");
