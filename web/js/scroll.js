// @ts-check
// Owns where the reader is on the page; never moves them unasked.

import { byId } from "./dom.js";

const masthead = byId("masthead", HTMLElement);
const posts = byId("posts", HTMLElement);
const SLACK = 8;

/** Whether the top of the list has gone up under the masthead. */
export function isAway() {
  return posts.getBoundingClientRect().top < masthead.getBoundingClientRect().bottom - SLACK;
}

export function toTop() {
  scrollTo({ top: 0 });
}

/** @param {() => void} check called as the reader scrolls */
export function onScroll(check) {
  addEventListener("scroll", check, { passive: true });
}
