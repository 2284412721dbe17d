// What goes upstream, sent by the thread's own work to a real node: two histories are found out, whichever of the two is the longer one.
import { cpSync } from "node:fs";
import test from "ava";
import type { ForwardReply, ForwardRequest } from "../../src/evidence/upstream/forward-messages.ts";
import { sendRecords } from "../../src/evidence/upstream/record-sender.ts";
import type { ServiceRequest } from "../../src/outbound/service.ts";
import type { OwnPort } from "../../src/threads/threads.ts";
import { start, type Started } from "../http/support.ts";
import { comes, until } from "../until.ts";
import { edgeWith, eventIn, openEdge, scratch, sendAll, twins } from "./edges.ts";
import { admit } from "./exports.ts";

const hub = await start({ node_id: "hub" });
test.after.always(() => hub.close());

const serviceAt = ({ call }: Started) => ({
  request: async ({ method, path, headers = {}, body = new Uint8Array() }: ServiceRequest) =>
    call(method, path, { headers: { ...headers }, body }),
  close: () => {},
});

/** Sends what lies there until a stream is refused. @returns why. */
async function refusedOf(storePath: string, nodeId: string): Promise<string> {
  const replies: ForwardReply[] = [];
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  let tell: (request: ForwardRequest) => void = () => {};
  const port = {
    postMessage: (reply: ForwardReply) => void replies.push(reply),
    on: (_event: string, told: typeof tell) => void (tell = told),
    close,
  } as unknown as OwnPort;
  const access = {
    name: "upstream",
    url: hub.url,
    headers: {},
    allowInsecureTls: false,
    responseHeaderTimeoutS: 30,
    tls: { systemCaRequired: false },
  };
  const cursorFile = `${scratch()}/upstream.json`;
  const data = { storePath, access, cursorFile, ownIds: [nodeId], heartbeatMs: 50, backoffMsMax: 200 };
  void sendRecords(data, serviceAt(hub), port);
  const refused = await until(() => replies.find(({ kind }) => kind === "refused"), "a stream is refused");
  tell({ kind: "stop" });
  await comes("it stops", closed);
  return (refused as Extract<ForwardReply, { kind: "refused" }>).problem!;
}

const equivocations = async () => {
  const found = await (await hub.store()).events({ event_type: "node.equivocation", order: "asc", limit: 10 });
  return found.map(({ record }) => eventIn(record).details);
};

test.serial("a copy that has fewer records than upstream shows its last: two histories are found out", async (t) => {
  const { one, other } = await twins(3, "copied");
  await admit(one, 3, "acme", 10);
  await admit(other, 1, "acme", 20);
  await one.isolate("so that its own stream is the longer one as well", "test");
  await sendAll(hub, one);
  for (const { chain_id, size } of await other.store.log.streams())
    t.true(size < (await (await hub.store()).log.stream(chain_id))!.size, chain_id);
  t.regex(await refusedOf(other.dataDir, "copied"), /409 node_equivocation/);
  t.like(await equivocations(), [{ node_id: "copied" }]);
  await Promise.all([one.close(), other.close()]);
});

test.serial("one that has the beginning of what upstream has is refused, and has no second history", async (t) => {
  const { dir, node } = await edgeWith(3, "behind");
  await node.close();
  const older = scratch();
  cpSync(dir, older, { recursive: true });
  const again = await openEdge(dir, "behind");
  await admit(again, 3, "acme", 10);
  await sendAll(hub, again);
  const before = await equivocations();
  t.regex(await refusedOf(older, "behind"), /more than there are here/);
  t.deepEqual(await equivocations(), before);
  await again.close();
});
