// Calls by the socket in a data directory: the same interface for whoever may write there anyway, so that nobody has to stop to be asked.
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { hostCaller } from "../core/caller.ts";
import { makeApp } from "./app.ts";
import type { Doorkeeper } from "./call/caller.ts";
import { Door } from "./call/door.ts";
import { securityHeaders } from "./call/headers.ts";
import { ReplyWriter } from "./call/reply.ts";
import type { Route } from "./call/route.ts";
import type { Shared } from "./listener.ts";

/** Whoever can open it is the user that holds the data, or root. */
const OWNER: Doorkeeper = {
  checkSource: () => {},
  authenticate: () => ({ caller: hostCaller("local"), untilMs: Number.POSITIVE_INFINITY }),
  authenticates: false,
};

/** What answers calls on a socket. It answers each connection once, so that none waits for another call when it closes. */
export function socketServer(shared: Shared, routes: readonly Route[]): HttpServer {
  const replies = new ReplyWriter(securityHeaders(false));
  replies.startClosing();
  const app = makeApp(new Door({ doorkeeper: OWNER, replies, ...shared }), routes);
  return createHttpServer(app).on("checkContinue", app);
}
