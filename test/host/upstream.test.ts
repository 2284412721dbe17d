// Nodes under another: records that arrive once and in order, a partition that ends when they have, and one outcome where nodes differed.
import { createServer, connect, type Server, type Socket } from "node:net";
import { once } from "node:events";
import test, { type ExecutionContext } from "ava";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import type { Workload } from "../../src/core/workload.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import type { NodeOptions, RailgateNode } from "../../src/node/open.ts";
import { edgeWith, eventIn, openEdge } from "../evidence/edges.ts";
import { admit, request } from "../evidence/exports.ts";
import { admit as admitOne } from "../gate/commands.ts";
import { start, type Started } from "../http/support.ts";

/** Rounds of cuts and kills: few here, fifty by `RAILGATE_TEST_ROUNDS=50 npx ava test/host/upstream.test.ts`. */
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

async function until(t: ExecutionContext, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const started = performance.now(); !(await holds()); ) {
    if (performance.now() - started > WAIT_MS) return t.fail(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function sizeAt(hub: Started, chainId: string): Promise<number> {
  await using store = await hub.store();
  return (await store.log.stream(chainId))?.size ?? 0;
}

const arrived = (t: ExecutionContext, hub: Started, node: RailgateNode) =>
  until(t, "all has arrived", async () => {
    for (const { chain_id, size } of await node.store.log.streams())
      if ((await sizeAt(hub, chain_id)) < size) return false;
    return true;
  });

const eventsOf = async (node: RailgateNode, event_type: string) =>
  (await node.store.events({ event_type, order: "asc", limit: 100 })).map(({ record }) => eventIn(record));

/** Each record of the node is there once, the same and in order, and verifies. */
async function same(t: ExecutionContext, hub: Started, node: RailgateNode): Promise<void> {
  await using store = await hub.store();
  for (const { chain_id, size } of await node.store.log.streams()) {
    const here = await store.log.records(chain_id, 0, Number.MAX_SAFE_INTEGER);
    t.deepEqual(here.slice(0, size), await node.store.log.records(chain_id, 0, size), chain_id);
  }
  const { streams, states } = await verifyStore(store, () => {});
  t.deepEqual(states, []);
  t.deepEqual(
    streams.filter(({ fault }) => fault !== undefined),
    [],
  );
}

test("told that it is cut off, a node holds its records back; told that it no longer is, it reconciles", async (t) => {
  const hub = await start({ node_id: "hub" });
  const { node } = await edgeWith(3, "edge", under(hub.url));
  await arrived(t, hub, node);
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
  await until(t, "reconciled", () => node.partition.context().state === "reconciled");
  const [event] = (await eventsOf(node, "chain.reconciliation")).filter(({ chain_id }) => chain_id === "acme/edge");
  t.is(event?.outcome, "accepted");
  t.like(event?.details, { chain_id: "acme/edge", from_sequence: 3, to_sequence: 7 });
  const records = (await node.store.log.records("acme/edge", 3, 8)).map(eventIn);
  t.deepEqual(
    [event?.details?.["first_hash"], event?.details?.["last_hash"]],
    [records[0]!.event_hash, records[4]!.event_hash],
  );
  await until(t, "that is on record", async () => (await eventsOf(node, "crp.partition.state")).length === 3);
  t.deepEqual(
    (await eventsOf(node, "crp.partition.state")).map(({ details }) => details?.["state"]),
    ["partitioned", "partitioned", "reconciled"],
  );
  await arrived(t, hub, node);
  await same(t, hub, node);
  await Promise.all([node.close(), hub.close()]);
});

test("an upstream that is gone is a partition, and one that is back ends it; a restart in between forgets nothing", async (t) => {
  const hub = await start({ node_id: "hub" });
  const proxy = await Proxy.open();
  const { dir, node } = await edgeWith(2, "edge", under(proxy.url, hub.port));
  await until(t, "partitioned", () => node.partition.context().state === "partitioned");
  t.deepEqual(
    node.partition.status.reasons.map(({ reason }) => reason),
    ["upstream"],
  );
  await admit(node, 3, "acme", 10);
  await node.close();
  const again = await openEdge(dir, "edge", under(proxy.url, hub.port));
  t.is(again.partition.context().state, "partitioned");
  proxy.to = hub.port;
  await until(t, "reconciled", () => again.partition.context().state === "reconciled");
  await arrived(t, hub, again);
  await same(t, hub, again);
  await again.close();
  await Promise.all([hub.close(), proxy.close()]);
});

test("whatever is cut or killed in the middle of a transfer, nothing is lost and nothing comes twice", async (t) => {
  const hub = await start({ node_id: "hub" });
  const proxy = await Proxy.open(hub.port);
  let { dir, node } = await edgeWith(0, "edge", under(proxy.url, hub.port));
  for (let round = 0; round < ROUNDS; round++) {
    proxy.cutAfterBytes = 1 + Math.floor(Math.random() * 60_000);
    await admit(node, 12, "acme", round * 12);
    if (round % 2 === 1) {
      await node.close();
      node = await openEdge(dir, "edge", under(proxy.url, hub.port));
    }
  }
  proxy.cutAfterBytes = Number.POSITIVE_INFINITY;
  await arrived(t, hub, node);
  t.is(
    await sizeAt(hub, "acme/edge"),
    ROUNDS * 12 +
      (await eventsOf(node, "chain.reconciliation")).filter(({ chain_id }) => chain_id === "acme/edge").length,
  );
  await same(t, hub, node);
  await node.close();
  await Promise.all([hub.close(), proxy.close()]);
});

test("a chain of nodes: what the middle one took goes further", async (t) => {
  const top = await start({ node_id: "top" });
  const middle = await start({ node_id: "middle", upstream: { url: top.url, heartbeat_ms: 50 } });
  const { node } = await edgeWith(4, "edge", under(middle.url));
  await arrived(t, top, node);
  await same(t, top, node);
  await until(t, "the middle's own", async () => (await sizeAt(top, "default/middle")) > 0);
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
      await arrived(t, hub, node);
    }
    const resolved = async (node: RailgateNode) => (await eventsOf(node, "decision.superseded")).length > 0;
    await until(t, "superseded on both", async () => (await Promise.all(nodes.map(resolved))).every(Boolean));
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
  cutAfterBytes = Number.POSITIVE_INFINITY;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

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

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
  }

  #lead(client: Socket): void {
    if (this.to === undefined) return void client.destroy();
    const server = connect(this.to, "127.0.0.1");
    let passed = 0;
    for (const [from, into] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(from);
      from.on("error", () => into.destroy());
      from.on("close", () => (this.#open.delete(from), into.destroy()));
      from.on("data", (bytes) => {
        passed += bytes.length;
        if (passed > this.cutAfterBytes) {
          this.cutAfterBytes = Number.POSITIVE_INFINITY;
          client.destroy();
          server.destroy();
        } else into.write(bytes);
      });
    }
  }
}
