// @ts-check
// Owns that a server of the tests' own gets a free port of this machine.

import { once } from "node:events";

/**
 * Where it answers from then on, without a slash at the end.
 * @param {import("node:http").Server} server
 */
export async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (!address || typeof address === "string") throw new Error("The server has no port");
  return `http://127.0.0.1:${address.port}`;
}
