// The store on PostgreSQL: leases, the commit's protocol, and what becomes of a commit whose end nobody saw.
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, createConnection, type Socket } from "node:net";
import { join } from "node:path";
import test from "ava";
import pg from "pg";
import { takeLease, thisProcess, endLease } from "../../src/store/postgres/lease.ts";
import { openReader, openWriter } from "../../src/store/open.ts";
import type { DatabaseAt } from "../../src/store/postgres/address.ts";
import type { Append, StateWrite } from "../../src/store/store.ts";
import { certificates } from "../http/certificates.ts";
import { freePort } from "../port.ts";
import { noPostgres, ownServer, testServer } from "../postgres/server.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test : test.skip;

const event = (chain: string, sequence: number, states: StateWrite[] = [], id = `${chain}.${sequence}`): Append => ({
  chain_id: chain,
  sequence,
  id,
  event_type: "workload.admit",
  outcome: "accepted",
  tenant_id: chain.split("/")[0]!,
  workload_id: null,
  correlation_id: "c",
  occurred_at_ms: 1000 + sequence,
  event_hash: `sha256:${"0".repeat(64)}`,
  artifact_digest: `sha256:${"0".repeat(64)}`,
  artifact: `{"sequence":${sequence}}`,
  blobs: [],
  record: `r.${id}.s`,
  states,
});

const place = (key: string) => ({ kind: "mesh", tenant_id: "a", key }) as const;
const put = (key: string, version: number, value: string | null = "1"): StateWrite => ({
  ...place(key),
  value,
  ...(value !== null && { version }),
});

async function nodeAt(url: string, nodeId: string): Promise<DatabaseAt> {
  const at = { url, poolMax: 2, scope: randomUUID() };
  return { ...at, lease: await takeLease(at, nodeId) };
}

run("what was read is locked, absent or not, until the commit; whoever decided on less decides again", async (t) => {
  const url = await (await testServer()).url();
  await using one = await openWriter(await nodeAt(url, "one"));
  await using two = await openWriter(await nodeAt(url, "two"));
  t.deepEqual(await one.versions([place("m"), place("n")]), [0, 0]);
  const waiting = two.versions([place("n"), place("m")]);
  await one.append([event("a/one", 0, [put("m", 1), put("m", 2)])]);
  t.deepEqual(await waiting, [0, 2]);
  await two.release();
  await using reader = await openReader({ url, poolMax: 2, scope: "none" });
  t.deepEqual(await reader.within("mesh", "a", ""), [{ key: "m", value: "1", version: 2 }]);
  t.deepEqual(await one.versions([place("m")]), [2]);
  await one.append([event("a/one", 1, [put("m", 0, null)])]);
  t.deepEqual(await two.versions([place("m")]), [0]);
  await two.append([event("a/two", 0)]);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.is((await client.query("SELECT * FROM railgate.states")).rowCount, 0, "nothing is left of what was only held");
  await client.end();
  t.deepEqual(
    (await reader.events({ order: "asc", limit: 9 })).map(({ record }) => record),
    ["r.a/one.0.s", "r.a/one.1.s", "r.a/two.0.s"],
  );
});

run("writers that lock in any order make progress, and count each change once", async (t) => {
  const url = await (await testServer()).url();
  const keys = ["a", "b", "c", "d"];
  const work = async (nodeId: string) => {
    await using writer = await openWriter(await nodeAt(url, nodeId));
    for (let n = 0; n < 12; n++) {
      const order = n % 2 === 0 ? keys : keys.toReversed();
      const versions = await writer.versions(order.map(place));
      await writer.append([
        event(
          `a/${nodeId}`,
          n,
          order.map((key, i) => put(key, versions[i]! + 1, String(versions[i]! + 1))),
        ),
      ]);
    }
  };
  await Promise.all(["one", "two", "three"].map(work));
  await using reader = await openReader({ url, poolMax: 2, scope: "none" });
  t.deepEqual(
    await reader.within("mesh", "a", ""),
    keys.map((key) => ({ key, value: "36", version: 36 })),
  );
  const events = await reader.events({ order: "asc", limit: 100 });
  t.is(new Set(events.map(({ position }) => position)).size, 36);
});

run(
  "a node id has one holder, who is named; what is gone is taken over at once, and the one before loses its commit",
  async (t) => {
    const url = await (await testServer()).url();
    const at = { url, poolMax: 2, scope: randomUUID() };
    const first = await takeLease(at, "n");
    const held = { code: "data_dir_locked", message: new RegExp(`held by process ${process.pid} on`) };
    await t.throwsAsync(takeLease(at, "n"), held);
    await t.throwsAsync(takeLease({ ...at, scope: randomUUID() }, "n"), held);
    await using paused = await openWriter({ ...at, lease: first });
    await paused.versions([place("m")]);
    await paused.append([event("a/n", 0, [put("m", 1)])]);
    // As after a kill -9: the row names a process of this host that is not there.
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query("UPDATE railgate.nodes SET pid = 2147483647");
    await t.throwsAsync(
      takeLease({ ...at, scope: randomUUID() }, "n"),
      { code: "data_dir_locked" },
      "another data directory waits",
    );
    const second = await takeLease(at, "n");
    await using next = await openWriter({ ...at, lease: second });
    await t.throwsAsync(paused.append([event("a/n", 1)]), { code: "store_displaced", message: /taken over/ });
    await next.append([event("a/n", 1)]);
    await t.throwsAsync(openWriter({ ...at, lease: first }), { code: "store_displaced" });
    // A lease that ended, or was ended, is free for all.
    await endLease(at, second);
    await takeLease({ ...at, scope: randomUUID() }, "n", { self: { ...thisProcess(), host: "other" } });
    await client.query("UPDATE railgate.nodes SET expires_at = now() + interval '600 milliseconds'");
    await t.notThrowsAsync(takeLease(at, "n", { wait: true }));
    await client.end();
  },
);

/** Between a writer and the server: it can be cut, at once or when a COMMIT of an event of the stream goes by; a lease's renewal is a commit as well. */
async function proxyTo(socketDir: string, chain: string) {
  const open = new Set<Socket>();
  const state = { cutAtCommit: "no" as "no" | "before" | "after" | "silent", closed: false };
  const server = createServer((from) => {
    if (state.closed) return from.destroy();
    const to = createConnection(join(socketDir, ".s.PGSQL.5432"));
    for (const socket of [from, to]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(socket);
        from.destroy();
        to.destroy();
      });
    }
    let swallowed: "no" | "after" | "silent" = "no";
    let since = "";
    from.on("data", (bytes) => {
      since += bytes.toString("latin1");
      const commits = since.includes("COMMIT");
      // Before the transaction begins an event may have been looked up.
      const appends = commits && since.slice(since.lastIndexOf("BEGIN") + 1).includes(`${chain}.`);
      if (commits) since = "";
      if (appends && state.cutAtCommit !== "no") {
        const cut = state.cutAtCommit;
        if (cut !== "before") {
          swallowed = cut;
          to.write(bytes);
        }
        state.cutAtCommit = "no";
        if (cut === "before") from.destroy();
        return;
      }
      to.write(bytes);
    });
    to.on("data", (bytes) => {
      // The server has answered, and nobody hears of it.
      if (swallowed === "after") from.destroy();
      else if (swallowed === "no") from.write(bytes);
    });
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  return {
    state,
    cut,
    address: (url: string) => url.replace(/localhost(.*)\?.*/, `127.0.0.1:${port}$1`),
    close: () => {
      cut();
      server.close();
    },
  };
}

run("a connection that is lost while committing: the event is looked up, and said to be there or not", async (t) => {
  const server = await testServer();
  const url = await server.url();
  const proxy = await proxyTo(server.socketDir, "a/n");
  t.teardown(() => proxy.close());
  await using writer = await openWriter(await nodeAt(proxy.address(url), "n"));
  await writer.append([event("a/n", 0)]);
  proxy.state.cutAtCommit = "after";
  t.is(await writer.append([event("a/n", 1), event("a/n", 2)]), 2, "it is on record after all");
  t.is(await writer.append([event("a/n", 3)]), 4, "and it goes on");
  proxy.state.cutAtCommit = "silent";
  t.is(await writer.append([event("a/n", 4)]), 5, "an answer that does not come is not waited for");
  proxy.state.cutAtCommit = "before";
  await t.throwsAsync(writer.append([event("a/n", 5)]), { message: /./ });
  await using reader = await openReader({ url, poolMax: 2, scope: "none" });
  t.is((await reader.log.stream("a/n"))?.size, 5);
  t.is(await writer.append([event("a/n", 5, [], "again")]), 7, "the place of what was lost stays empty");
  t.is((await writer.tree("a/n")).size, 6);
  await writer.putCheckpoints([{ chain_id: "a/n", size: 6, note: "six" }]);
  t.deepEqual(await reader.log.checkpoint("a/n"), { size: 6, note: "six" });
});

run(
  "a commit whose wait for a standby is cancelled is not certain, and no answer to one is waited for long",
  async (t) => {
    t.timeout(120_000);
    const primary = await ownServer();
    const standby = await primary.standby();
    t.teardown(() => {
      primary.stop();
      standby.stop();
    });
    const url = await primary.url("postgres");
    const at = await nodeAt(url, "n");
    let writer = await openWriter(at);
    await writer.append([event("a/n", 0)]);
    const admin = new pg.Client({ connectionString: url });
    admin.on("error", () => {});
    await admin.connect();
    await primary.waitsForStandby(true);
    standby.kill();
    const waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'railgate'";
    const cancelled = async (): Promise<string> => {
      const appended = writer.append([event("a/n", 1)]).then(
        () => "done",
        ({ code }: { code: string }) => code,
      );
      for (const untilMs = performance.now() + 60_000; (await admin.query(`SELECT 1 ${waiting}`)).rowCount === 0; )
        if (performance.now() > untilMs) throw new Error("nobody commits");
      await admin.query(`SELECT pg_cancel_backend(pid) ${waiting}`);
      return appended;
    };
    // It may have been the lease's renewal that waited; then nothing was appended.
    for (let code = await cancelled(); code !== "commit_unsettled"; code = await cancelled()) {
      t.is(code, "store_displaced");
      await writer.close();
      await standby.start();
      writer = await openWriter(at);
      standby.kill();
    }
    await writer.close();
    await standby.start();
    await using next = await openWriter(at);
    t.true((await next.settle(["a/n.1"]))! >= 2, "it was there all along");
    await admin.end();
  },
);

run("a server that may forget what it committed is refused, by the name of the setting", async (t) => {
  const server = await ownServer(["fsync=off"]);
  t.teardown(() => server.stop());
  await t.throwsAsync(nodeAt(await server.url("postgres"), "n"), { message: /has fsync off/ });
});

run("over TLS a server is believed by its certificate and its name, and believes whoever shows one", async (t) => {
  const port = await freePort();
  let folder = "";
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1,127.0.0.2", "ssl=on", "ssl_ca_file=ca.crt"];
  const server = await ownServer(settings, (data, own) => {
    folder = data;
    certificates(data);
    own(join(data, "server.key"));
    const rules = ["local all all trust", "hostssl all all 127.0.0.0/8 trust clientcert=verify-full"];
    writeFileSync(join(data, "pg_hba.conf"), rules.join("\n"));
  });
  t.teardown(() => server.stop());
  const admin = new pg.Client({ connectionString: await server.url("postgres") });
  await admin.connect();
  await admin.query("CREATE ROLE deployer SUPERUSER LOGIN");
  await admin.end();
  const file = (name: string) => encodeURIComponent(join(folder, name));
  const own = `&sslcert=${file("client.crt")}&sslkey=${file("client.key")}`;
  const at = (host: string, way: string) => ({
    url: `postgres://deployer@${host}:${port}/postgres?${way}`,
    poolMax: 2,
    scope: randomUUID(),
  });
  const pinned = `sslmode=verify-full&sslrootcert=${file("ca.crt")}`;
  const good = at("127.0.0.1", pinned + own);
  const lease = await takeLease(good, "n");
  await using writer = await openWriter({ ...good, lease });
  t.is(await writer.append([event("a/n", 0)]), 1);
  await using reader = await openReader(good);
  t.is((await reader.event("a/n.0"))?.position, 1);
  for (const [wrong, message] of [
    [
      at("127.0.0.1", `sslmode=verify-full&sslrootcert=${file("strange-ca.crt")}${own}`),
      /self-signed|verify|signature/i,
    ],
    [at("127.0.0.2", pinned + own), /does not match certificate's altnames/],
    [at("127.0.0.1", pinned), /requires a valid client certificate/],
    [at("127.0.0.1", "application_name=x"), /no encryption/],
  ] as const)
    await t.throwsAsync(takeLease(wrong, "m"), { message });
});

run("an older program refuses a newer schema, and two that start at once make one", async (t) => {
  const url = await (await testServer()).url();
  const writers = await Promise.all(["one", "two", "three"].map(async (id) => openWriter(await nodeAt(url, id))));
  await Promise.all(writers.map((writer) => writer.close()));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // As schema 1 was; what is there stays.
  await client.query("DROP TABLE railgate.draws; UPDATE railgate.schema_version SET version = 1, one = true");
  await client.query("UPDATE railgate.positions SET last = 7");
  await using writer = await openWriter(await nodeAt(url, "four"));
  t.is(await writer.append([event("a/four", 0)]), 8);
  await client.query("UPDATE railgate.schema_version SET version = 99");
  await client.end();
  await t.throwsAsync(nodeAt(url, "n"), { message: /schema 99/ });
  await t.throwsAsync(openReader({ url, poolMax: 1, scope: "none" }), { message: /schema 99/ });
});
