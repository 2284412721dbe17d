// A thread that listens and decides beside the main one: commands are decided here, everything else is passed on.
import { parentPort, workerData } from "node:worker_threads";
import { openDeciding, type LocalRailgate } from "../../library/deciding.ts";
import { certificateProof } from "../call/caller.ts";
import { Peers } from "../call/peer.ts";
import type { Route } from "../call/route.ts";
import { Listener } from "../listener.ts";
import { makeLogging } from "../logging.ts";
import { Metrics } from "../metrics.ts";
import { observer } from "../observer.ts";
import { commandRoutes } from "../routes/commands.ts";
import { passOn } from "./inner.ts";
import { readerOf } from "./shared-clock.ts";
import type { FromListener, ThreadData, ToListener } from "./messages.ts";

const { config, beginning, port, inner, peers: limits, clustered, clock } = workerData as ThreadData;
const say = (message: FromListener): void => parentPort!.postMessage(message);

/** Lines are handed over together. */
let lines: string[] = [];
function flush(): void {
  if (lines.length > 0) say({ kind: "log", lines });
  lines = [];
}
const logging = makeLogging(config.logLevel, {
  write: (line) => {
    if (lines.length === 0) setImmediate(flush);
    lines.push(line);
  },
});
const { log } = logging;
const metrics = new Metrics();
metrics.watchThread("deciding");

const railgate: LocalRailgate = await openDeciding({
  beginning,
  port,
  now: readerOf(clock),
  observe: observer(log, metrics),
  failed: (error) =>
    queueMicrotask(() => {
      throw error;
    }),
});
if (railgate.connections) metrics.watchConnections(() => railgate.connections!);
const { authentication } = config;
const peers = new Peers(limits);
const listener = await Listener.open(
  config,
  { peers, log, metrics },
  (): Route[] => commandRoutes({ railgate, config, clustered }),
  { shared: true, elsewhere: passOn(inner, peers, (req) => certificateProof(req, authentication?.mtls)) },
);
parentPort!.on("message", (message: ToListener) => {
  switch (message.kind) {
    case "certificates":
      return listener.renewCertificates();
    case "callers":
      return listener.renewCallers(message.jwks);
    case "metrics":
      return void metrics.figures().then((figures) => say({ kind: "metrics", request: message.request, figures }));
    case "close":
      listener.startClosing();
      return void listener.close().then(() => {
        flush();
        say({ kind: "closed" });
      });
  }
});
say({ kind: "listening" });
