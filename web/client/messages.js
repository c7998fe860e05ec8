// @ts-check
// What the pages of a shared line and its leader say to each other over the channel: lists of who says it, what it
// is, and what follows here. Numbers, since every page loads them. Whoever changes them changes `PREFIX`, too.

// A member to the leader.
/** It wants these topics, from its cursor on. */
export const JOIN = 0;
export const LEAVE = 1;
/** The token that was asked for. */
export const TOKEN = 2;
/** Is anybody there? */
export const PING = 3;
/** A wait for the next try may end. */
export const WAKE = 4;

// The leader to all.
/** It leads from now on. */
export const LEAD = 5;
/** How the line is, the members that it knows, and the cursor from which on they are told everything; whether it
 * is past all that was when it began, and whether the hub knew nothing of where it began. */
export const WELCOME = 6;
/** How the line is. */
export const LINE = 7;
export const EVENTS = 8;
/** Who has a token? */
export const ASK = 9;
/** What all want together is refused. */
export const OVER = 10;
