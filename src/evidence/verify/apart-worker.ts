// The thread in which an archive is verified that came over the network.
import { parentPort } from "node:worker_threads";
import { nodeGunzip } from "../../archive/gzip-node.ts";
import type { ApartReply, ApartRequest } from "./apart.ts";
import { DEFAULT_ARCHIVE_LIMITS, readArchive } from "./files.ts";
import { NODE_PRIMITIVES } from "./node-primitives.ts";
import { verify, type VerifyOptions } from "./verification.ts";

const port = parentPort!;
const say = (reply: ApartReply): void => port.postMessage(reply);

/** Parts that came, and whoever waits for one. */
const arrived: (Uint8Array | null)[] = [];
let waiting: ((part: Uint8Array | null) => void) | undefined;

port.on("message", (request: ApartRequest) => {
  if ("options" in request) return void run(request.options);
  if (waiting === undefined) return void arrived.push(request.part);
  waiting(request.part);
  waiting = undefined;
});

/** Asks for each part only when it is wanted, so that none piles up. */
async function* archive(): AsyncGenerator<Uint8Array> {
  for (;;) {
    say({ more: true });
    const part =
      arrived.shift() ??
      (await new Promise<Uint8Array | null>((resolve) => {
        waiting = resolve;
      }));
    if (part === null) return;
    yield part;
  }
}

async function run(options: VerifyOptions): Promise<void> {
  let opened = false;
  const open = () => {
    if (opened) return null;
    opened = true;
    return readArchive(archive(), { ...DEFAULT_ARCHIVE_LIMITS, ...options.limits }, nodeGunzip);
  };
  try {
    say({ report: await verify(open, options, { primitives: NODE_PRIMITIVES }) });
  } catch (error) {
    say({ error: (error as Error).message, isUsage: error instanceof TypeError });
  }
}
