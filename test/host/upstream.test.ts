// Nodes under another: records that arrive once and in order, a partition that ends when they have, and one outcome where nodes differed.
import { createServer, connect, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import type { Workload } from "../../src/core/workload.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import type { NodeOptions, RailgateNode } from "../../src/node/open.ts";
import { openReader } from "../../src/store/open.ts";
import type { StoreReader } from "../../src/store/store.ts";
import { edgeWith, eventIn, openEdge, scratch } from "../evidence/edges.ts";
import { admit, request } from "../evidence/exports.ts";
import { admit as admitOne } from "../gate/commands.ts";
import { send, start, type Started } from "../http/support.ts";
import { spawnServer } from "./process.ts";
import { until } from "../until.ts";

/** Rounds of kills and cuts: one of each here, fifty by `RAILGATE_TEST_ROUNDS=50 npx ava test/host/upstream.test.ts`. */
const ROUNDS = Number(process.env["RAILGATE_TEST_ROUNDS"] ?? 3);
const WAIT_MS = 60_000;

/** @param port where the other node listens, where something stands between: it must be called by its own name. */
const under = (url: string, port?: number): Partial<NodeOptions> => ({
  upstream: {
    access: {
      name: "upstream",
      url,
      headers: port === undefined ? {} : { Host: `127.0.0.1:${port}` },
      allowInsecureTls: false,
      responseHeaderTimeoutS: 30,
      tls: { systemCaRequired: false },
    },
    heartbeatMs: 50,
    backoffMsMax: 200,
  },
  partitionTimes: { lostAfterMs: 200, settledAfterMs: 100, reconciledForMs: 600_000 },
});

async function sizeAt(hub: Started, chainId: string): Promise<number> {
  await using store = await hub.store();
  return (await store.log.stream(chainId))?.size ?? 0;
}

/** On the hub; and that the node knows, which has to have its answer for that. */
const arrived = (hub: Started, node: RailgateNode) =>
  until(async () => {
    for (const { chain_id, size } of await node.store.log.streams())
      if ((await sizeAt(hub, chain_id)) < size) return false;
    return (await node.forwarding())!.backlog === 0;
  }, "all has arrived");

const eventsOf = async (node: RailgateNode, event_type: string) =>
  (await node.store.events({ event_type, order: "asc", limit: 100 })).map(({ record }) => eventIn(record));

/** Each record of the node is there once, the same and in order, and verifies. */
async function same(t: ExecutionContext, hub: Started, node: RailgateNode): Promise<void> {
  await using above = await hub.store();
  await isSame(t, above, node.store);
}

/** @param upTo of a stream, how many have to be there; default: all that the node has. */
async function isSame(
  t: ExecutionContext,
  above: StoreReader,
  below: StoreReader,
  upTo: (held: number, size: number) => number = (_, size) => size,
): Promise<void> {
  for (const { chain_id, size } of await below.log.streams()) {
    const held = await above.log.records(chain_id, 0, Number.MAX_SAFE_INTEGER);
    const end = upTo(held.length, size);
    t.deepEqual(held.slice(0, end), await below.log.records(chain_id, 0, end), chain_id);
  }
  const { streams, states } = await verifyStore(above, () => {});
  t.deepEqual(states, []);
  t.deepEqual(
    streams.filter(({ fault }) => fault !== undefined),
    [],
  );
}

test("told that it is cut off, a node holds its records back; told that it no longer is, it reconciles", async (t) => {
  const hub = await start({ node_id: "hub" });
  const { node } = await edgeWith(3, "edge", under(hub.url));
  await arrived(hub, node);
  await node.isolate("a drill", "olga");
  t.is(node.partition.context().state, "partitioned");
  const before = await sizeAt(hub, "acme/edge");
  await admit(node, 5, "acme", 10);
  t.is(await sizeAt(hub, "acme/edge"), before);
  t.like((await eventsOf(node, "node.start")).at(-1), {
    actor: "olga",
    details: { act: "partition", reason: "a drill" },
  });
  await node.rejoin("olga");
  await until(() => node.partition.context().state === "reconciled", "reconciled");
  const [event] = (await eventsOf(node, "chain.reconciliation")).filter(({ chain_id }) => chain_id === "acme/edge");
  t.is(event?.outcome, "accepted");
  t.like(event?.details, { chain_id: "acme/edge", from_sequence: 3, to_sequence: 7 });
  const records = (await node.store.log.records("acme/edge", 3, 8)).map(eventIn);
  t.deepEqual(
    [event?.details?.["first_hash"], event?.details?.["last_hash"]],
    [records[0]!.event_hash, records[4]!.event_hash],
  );
  await until(async () => (await eventsOf(node, "crp.partition.state")).length === 3, "that is on record");
  t.deepEqual(
    (await eventsOf(node, "crp.partition.state")).map(({ details }) => details?.["state"]),
    ["partitioned", "partitioned", "reconciled"],
  );
  await arrived(hub, node);
  await same(t, hub, node);
  await Promise.all([node.close(), hub.close()]);
});

test("an upstream that is gone is a partition, and one that is back ends it; a restart in between forgets nothing", async (t) => {
  const hub = await start({ node_id: "hub" });
  const proxy = await Proxy.open();
  const { dir, node } = await edgeWith(2, "edge", under(proxy.url, hub.port));
  await until(() => node.partition.context().state === "partitioned", "partitioned");
  t.deepEqual(
    node.partition.status.reasons.map(({ reason }) => reason),
    ["upstream"],
  );
  await admit(node, 3, "acme", 10);
  await node.close();
  const again = await openEdge(dir, "edge", under(proxy.url, hub.port));
  t.is(again.partition.context().state, "partitioned");
  proxy.to = hub.port;
  await until(() => again.partition.context().state === "reconciled", "reconciled");
  await arrived(hub, again);
  await same(t, hub, again);
  await again.close();
  await Promise.all([hub.close(), proxy.close()]);
});

test("whatever is cut or killed in the middle of a transfer, nothing is lost and nothing comes twice", async (t) => {
  t.timeout(WAIT_MS + ROUNDS * WAIT_MS);
  const dirs = { hub: scratch(), edge: scratch() };
  let hub = await spawnServer(dirs.hub, { RAILGATE_NODE_ID: "hub" });
  const { host, port } = new URL(hub.url);
  const proxy = await Proxy.open(Number(port));
  const upstream = { url: proxy.url, headers: { Host: host } };
  const settings = {
    node_id: "edge",
    upstream: { service: "hub", heartbeat_ms: 50 },
    partition: { lost_after_ms: 200, settled_after_ms: 100 },
  };
  writeFileSync(join(dirs.edge, "opa.yaml"), JSON.stringify({ services: { hub: upstream }, railgate: settings }));
  let edge = await spawnServer(dirs.edge);
  const acknowledged = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    const struck = proxy.strikesAfter(1 + Math.floor(Math.random() * BYTES_A_ROUND));
    const decided = decideAt(edge.url, round * DECISIONS_A_ROUND, acknowledged);
    // What is struck is in the middle of it, or of what the heart beats.
    t.true(await struck, "something is transferred");
    const victim = VICTIMS[round % VICTIMS.length]!;
    if (victim === "connection") proxy.cut();
    if (victim === "hub") {
      await hub.kill();
      hub = await spawnServer(dirs.hub, { RAILGATE_NODE_ID: "hub", RAILGATE_LISTEN: host });
    }
    if (victim === "edge") {
      await edge.kill();
      edge = await spawnServer(dirs.edge);
    }
    await decided;
  }
  await decideAt(edge.url, ROUNDS * DECISIONS_A_ROUND, acknowledged);
  await until(async () => (await statusOf(edge.url)).upstream.backlog === 0, "all has arrived");
  await Promise.all([edge.stop(), hub.stop()]);
  await proxy.close();
  await using here = await openReader(join(dirs.edge, "data"));
  await using above = await openReader(join(dirs.hub, "data"));
  // Behind the last decision the edge may have recorded that it has reconciled, or that it is cut off again.
  await isSame(t, above, here, Math.min);
  t.true(acknowledged.size >= DECISIONS_A_ROUND);
  const ids = [...acknowledged].sort();
  t.deepEqual((await here.known(ids)).sort(), ids);
  t.deepEqual((await above.known(ids)).sort(), ids);
});

const VICTIMS = ["hub", "edge", "connection"] as const;
const DECISIONS_A_ROUND = 24;
/** Some decisions of a round, packed, and the sign of life that comes when nothing is left. */
const BYTES_A_ROUND = 30_000;

/** Some decisions at once; those that are answered are acknowledged, by the event's id. */
async function decideAt(url: string, first: number, acknowledged: Set<string>): Promise<void> {
  const decisions = Array.from({ length: DECISIONS_A_ROUND }, async (_, i) => {
    const body = request(`w-${first + i}`);
    const answer = await send(url, "POST", "/v1/admissions", { body }).catch(() => undefined);
    if (answer?.status === 201 || answer?.status === 200) acknowledged.add(eventIn(answer.json.receipt).id);
  });
  await Promise.all(decisions);
}

const statusOf = async (url: string): Promise<any> => (await send(url, "GET", "/v1/node")).json;

test("a chain of nodes: what the middle one took goes further", async (t) => {
  const top = await start({ node_id: "top" });
  const middle = await start({ node_id: "middle", upstream: { url: top.url, heartbeat_ms: 50 } });
  const { node } = await edgeWith(4, "edge", under(middle.url));
  await arrived(top, node);
  await same(t, top, node);
  await until(async () => (await sizeAt(top, "default/middle")) > 0, "the middle's own");
  await node.close();
  await middle.close();
  await top.close();
});

test("two nodes that decided differently: the stricter decision stands on both, on record, by rule and not by arrival", async (t) => {
  const hub = await start({ node_id: "hub" });
  for (const [id, first] of [
    ["w-accepted-first", "internal"],
    ["w-refused-first", "secret"],
  ] as const) {
    const names = [`${id}-a`, `${id}-b`] as const;
    const nodes = await Promise.all(names.map(async (name) => (await edgeWith(0, name, under(hub.url))).node));
    const order = first === "internal" ? ["internal", "secret"] : ["secret", "internal"];
    for (const [i, node] of nodes.entries()) {
      await admitOne(node, parseAdmissionRequest(request(id, "acme", order[i]!)));
      await arrived(hub, node);
    }
    const resolved = async (node: RailgateNode) => (await eventsOf(node, "decision.superseded")).length > 0;
    await until(async () => (await Promise.all(nodes.map(resolved))).every(Boolean), "superseded on both");
    const last = async (node: RailgateNode) => (await eventsOf(node, "decision.superseded")).at(-1)!.details;
    const said = (await Promise.all(nodes.map(last))) as Record<string, any>[];
    for (const details of said) {
      t.is(details["standing"].outcome, "refused");
      t.is(details["superseded"][0].outcome, "accepted");
      t.truthy(details["handed_down"]);
    }
    t.is(said[0]!["standing"].event_id, said[1]!["standing"].event_id);
    const holder = nodes[order.indexOf("internal")]!;
    const workload = JSON.parse((await holder.store.state("workload", "acme", id))!) as Workload;
    t.truthy(workload.admission.valid_until, "the admission that was superseded has ended");
    await using store = await hub.store();
    const here = await store.events({
      tenant_id: "acme",
      workload_id: id,
      event_type: "decision.superseded",
      order: "asc",
      limit: 10,
    });
    t.is(here.map(({ record }) => eventIn(record)).filter(({ chain_id }) => chain_id === "acme/hub").length, 1);
    const { states } = await verifyStore(holder.store, () => {});
    t.deepEqual(states, []);
    await Promise.all(nodes.map((node) => node.close()));
  }
  await hub.close();
});

/** Stands between two nodes, and cuts what passes. */
class Proxy {
  /** The port that it leads to; undefined: nobody is there. */
  to: number | undefined;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  /** Bytes that pass before something strikes, and what is told then. */
  #strike: { left: number; readonly struck: (so: boolean) => void } | undefined;

  private constructor(to?: number) {
    this.to = to;
    this.#server = createServer((client) => this.#lead(client));
  }

  static async open(to?: number): Promise<Proxy> {
    const proxy = new Proxy(to);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** @returns true in the middle of what passes, when so many bytes have; false where they never do. */
  strikesAfter(bytes: number): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), WAIT_MS);
      this.#strike = { left: bytes, struck: (so) => (clearTimeout(late), resolve(so)) };
    });
  }

  /** Ends what is open. */
  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
  }

  #lead(client: Socket): void {
    if (this.to === undefined) return void client.destroy();
    const server = connect(this.to, "127.0.0.1");
    for (const [from, into] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(from);
      from.on("error", () => into.destroy());
      from.on("close", () => (this.#open.delete(from), into.destroy()));
      from.on("data", (bytes: Buffer) => {
        const strike = this.#strike;
        const left = strike ? (strike.left -= bytes.length) : 1;
        // The rest of what is struck never arrives.
        into.write(left < 0 ? bytes.subarray(0, bytes.length + left) : bytes);
        if (left > 0) return;
        this.#strike = undefined;
        from.pause();
        strike?.struck(true);
      });
    }
  }
}
