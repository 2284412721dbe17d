// What goes upstream, sent by the thread's own work to a real node: two histories are found out, whichever of the two is the longer one.
import { cpSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import { digestOf } from "../../src/core/event.ts";
import { firstOther } from "../../src/evidence/upstream/fork.ts";
import type { ForwardReply, ForwardRequest } from "../../src/evidence/upstream/forward-messages.ts";
import { sendRecords } from "../../src/evidence/upstream/record-sender.ts";
import type { RailgateNode } from "../../src/node/open.ts";
import type { ServiceRequest } from "../../src/outbound/service.ts";
import type { OwnPort } from "../../src/threads/threads.ts";
import { start, type Started } from "../http/support.ts";
import { comes } from "../until.ts";
import { edgeWith, eventIn, openEdge, scratch, sendAll, twins } from "./edges.ts";
import { admit } from "./exports.ts";

const hub = await start({ node_id: "hub" });
test.after.always(() => hub.close());

const serviceAt = ({ call }: Started) => ({
  request: async ({ method, path, headers = {}, body = new Uint8Array() }: ServiceRequest) =>
    call(method, path, { headers: { ...headers }, body }),
  close: () => {},
});

/** Sends what lies there until a stream is refused. @returns why, and by how many requests that was found out. */
async function refusedOf(storePath: string, nodeId: string): Promise<{ problem: string; requests: number }> {
  let requests = 0;
  const above = serviceAt(hub);
  const request = (asked: ServiceRequest) => {
    requests++;
    return above.request(asked);
  };
  const refused = Promise.withResolvers<{ problem: string; requests: number }>();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  let tell: (request: ForwardRequest) => void = () => {};
  const port = {
    postMessage: (reply: ForwardReply) => {
      if (reply.kind === "refused") refused.resolve({ problem: reply.problem!, requests });
    },
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
  void sendRecords(data, { ...above, request }, port);
  const found = await comes("a stream is refused", refused.promise);
  tell({ kind: "stop" });
  await comes("it stops", closed);
  return found;
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
  t.regex((await refusedOf(other.dataDir, "copied")).problem, /409 node_equivocation/);
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
  t.regex((await refusedOf(older, "behind")).problem, /more than there are here/);
  t.deepEqual(await equivocations(), before);
  await again.close();
});

/** Of two copies upstream has the records of one; whoever sends the other's has to ask how far it is. */
for (const [name, about, [above, below]] of [
  ["rotated-short", "the shorter copy has rotated its key", [{ count: 8 }, { rotates: true, count: 1 }]],
  ["rotated-long", "the longer copy has rotated its key", [{ count: 1 }, { rotates: true, count: 8 }]],
  ["rotated-above", "the copy that upstream knows has rotated", [{ rotates: true, count: 1 }, { count: 8 }]],
  [
    "rotated-both",
    "both have rotated, and are as long",
    [
      { rotates: true, count: 3 },
      { rotates: true, count: 3 },
    ],
  ],
] as const)
  test.serial(`${about}: two histories are found out by a record of the key that both had`, async (t) => {
    const { one, other } = await twins(0, name);
    await goesOn(one, above, 10);
    await goesOn(other, below, 40);
    await sendAll(hub, one);
    const { problem, requests } = await refusedOf(other.dataDir, name);
    t.regex(problem, /409 node_equivocation/);
    t.true(requests <= REQUESTS_MAX, `${requests} requests`);
    const { node_id, sequence, records } = (await equivocations()).at(-1) as Record<string, any>;
    t.is(node_id, name);
    const hashes = async ({ store }: RailgateNode) =>
      (await store.log.records(`default/${name}`, 0, 100)).map(digestOf);
    const [held, sent] = [await hashes(one), await hashes(other)];
    // By a record that the key signed which both had; or by one that continues what upstream does not have.
    if (name === "rotated-above") t.deepEqual(records, [held.at(-1), sent[held.length]]);
    else t.deepEqual(records, [held[sequence], sent[sequence]]);
    t.not(records[0], records[1]);
    await Promise.all([one.close(), other.close()]);
  });

/** One to ask each stream how far it is, those that found out, and twice the binary logarithm of what the test has. */
const REQUESTS_MAX = 14;

async function goesOn(node: RailgateNode, does: { rotates?: true; count: number }, from: number): Promise<void> {
  if (does.rotates) await node.rotateKey();
  for (let i = 0; i < does.count; i++) await admit(node, 1, "default", from + i);
}

test.serial("a stranger of the same id is refused after three records, and has no second history", async (t) => {
  const { node } = await edgeWith(3, "twice");
  await sendAll(hub, node);
  await node.close();
  const { dir, node: stranger } = await edgeWith(1, "twice");
  await stranger.close();
  const before = await equivocations();
  const { problem, requests } = await refusedOf(dir, "twice");
  t.regex(problem, /two histories part at record 0/);
  // How far it is; what lies behind that, where there is any; the last; the first.
  t.true(requests <= 4, `${requests} requests`);
  t.deepEqual(await equivocations(), before);
});

test.serial("a record that is not there to be read is not asked about again and again", async (t) => {
  for (const name of ["lost-and-behind", "lost-and-next"]) {
    const { dir, node } = await edgeWith(0, name);
    await admit(node, 2, "default");
    if (name === "lost-and-behind") await sendAll(hub, node);
    await node.close();
    loseLast(dir, name === "lost-and-behind" ? 1 : 0);
    const { problem, requests } = await refusedOf(dir, name);
    t.regex(problem, /record \d+ of .* cannot be read here/);
    // How far it is is asked, and no more.
    t.true(requests <= 2, `${requests} requests`);
  }
});

/** The last record of each stream is gone, and is said to be there. @param fewer how many records fewer than there were. */
function loseLast(dir: string, fewer: number): void {
  using database = new DatabaseSync(join(dir, "railgate.db"), { enableForeignKeyConstraints: false });
  database.exec(`UPDATE streams SET size = size - ${fewer}`);
  database.exec("DELETE FROM events WHERE sequence >= (SELECT size - 1 FROM streams WHERE stream = events.stream)");
}

test("where two histories part is found by halves, whatever their length", async (t) => {
  for (let size = 0; size <= 70; size++)
    for (let parted = 0; parted <= size; parted++) {
      let shown = 0;
      const first = await firstOther(size, async (sequence) => (shown++, sequence < parted));
      t.is(first, parted === size ? undefined : parted);
      t.true(shown <= 2 + Math.ceil(Math.log2(size + 1)), `${shown} of ${size}`);
    }
});
