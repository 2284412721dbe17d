// A host in its own process, asked by the socket in its data directory: what `serve` serves, without a port and without a log.
import type { Server } from "node:http";
import { DEFAULTS } from "../core/schema/defaults.ts";
import type { LocalRailgate } from "../library/local.ts";
import { Peers } from "./call/peer.ts";
import { makeLogging } from "./logging.ts";
import { Metrics } from "./metrics.ts";
import { FOLLOW_LIMITS, Followers } from "./routes/follow.ts";
import { allRoutes, watch } from "./server.ts";
import { socketServer } from "./socket.ts";

/** It takes connections, and listens nowhere. */
export function hostServer(railgate: LocalRailgate): Server {
  const { log } = makeLogging("silent", { write: () => {} });
  const metrics = new Metrics();
  const followers = new Followers(FOLLOW_LIMITS);
  railgate.beforeClose(async () => followers.close());
  watch(metrics, railgate, followers);
  const { bodyBytesMax, batchItemsMax, queueMax, evaluationMsMax } = DEFAULTS;
  const config = { limits: { bodyBytesMax, batchItemsMax, queueMax, evaluationMsMax } };
  return socketServer({ peers: new Peers(), log, metrics }, allRoutes({ config, railgate, followers, metrics }, false));
}
