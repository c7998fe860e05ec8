// @ts-check
// Owns what the server told this page, and the addresses made from it; never asks for anything.

/** @param {string} name */
function told(name) {
  const meta = document.querySelector(`meta[name="eventwall:${name}"]`);
  return meta?.getAttribute("content") ?? "";
}

// encodeURIComponent leaves !'()* alone, which a shell would not.
/** @param {string} text */
const inUrl = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export const wall = told("wall");
/** The wall's address, for others. */
export const url = told("url");
/** Up to where the posts in the page are the wall. */
export const cursor = told("cursor");
/** Before which to go on reading. */
export const oldest = told("oldest");
/** Older posts are left. */
export const more = told("more") === "true";
export const visitor = told("visitor");

/** What the server lets everyone do here: `post`, `publish`, `samples`. */
export const may = new Set(told("may").split(" "));

export const topicUrl = `/topics/walls/${inUrl(wall)}`;
export const postsUrl = `/walls/${inUrl(wall)}/posts`;
export const samplesUrl = `/walls/${inUrl(wall)}/samples`;

/** @param {string} cursor */
export const streamUrl = (cursor) => `${topicUrl}?as=json&after=${encodeURIComponent(cursor)}`;
