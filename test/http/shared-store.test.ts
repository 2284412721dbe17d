// Several replicas on one PostgreSQL, over HTTP: one mesh, one law, evidence of each, all of it on any (spec replicas).
import test from "ava";
import type { Started } from "./support.ts";
import { admissible, byTime, Clock, start } from "./support.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { lawBundle, makeSigner } from "../policies/bundles.ts";
import { theyAgree, verifyExport } from "../evidence/second-verifier.ts";
import { noPostgres, ownServer, testServer } from "../postgres/server.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { openReader } from "../../src/store/open.ts";
import { eventTextOf } from "../../src/core/event.ts";
import { comes, until } from "../until.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test.serial : test.serial.skip;

const RAILS = [
  { rail_id: "fast", level: "sandbox_isolated", latency_overhead_us: 0, capacity: 3 },
  { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 400, capacity: 2 },
];
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
};

const revisionOf = ({ details }: EvidenceEvent): number => (details as { state_revision: number }).state_revision;

const signer = await makeSigner();
const KEYS = { keys: { [signer.keyId]: { algorithm: "ES256", key: signer.pem } } };
const replica = (url: string, node_id: string, more: object = {}) =>
  start({ node_id, store: { url, pool_max: 4 }, ...more }, {}, KEYS);
/** One of several that decide by two threads, where threads can share a port. */
const SEVERAL = process.platform === "linux" ? { threads: 2 } : {};

if (missing === undefined)
  test.after("audit/verify.py says the same of exports that one replica made of all", theyAgree);

async function withReplicas(names: string[], work: (replicas: Started[], url: string) => Promise<void>): Promise<void> {
  const url = await (await testServer()).url();
  const replicas = await Promise.all(names.map((name, i) => replica(url, name, i === 0 ? SEVERAL : {})));
  try {
    await work(replicas, url);
  } finally {
    await Promise.all(replicas.map((each) => each.close()));
  }
}

const mesh = (at: Started, path: string, method = "GET", body?: object) =>
  at.call(method, `/v1/meshes/edge${path}?tenant_id=acme`, body && { body });

run(
  "three replicas command one mesh: no rail over its capacity, evidence in the stream of each, all read on any",
  async (t) => {
    await withReplicas(["r1", "r2", "r3"], async (replicas, url) => {
      const [one, two, three] = replicas as [Started, Started, Started];
      t.is((await mesh(one, "/topology", "PUT", { rails: RAILS })).status, 201);
      const names = Array.from({ length: 9 }, (_, i) => `w-${i}`);
      const admitted = await Promise.all(
        names.map((name, i) => replicas[i % 3]!.call("POST", "/v1/admissions", { body: admissible(name) })),
      );
      t.deepEqual([...new Set(admitted.map(({ json }) => json.decision?.outcome))], ["accepted"]);
      const placed = await Promise.all(
        names.map((workload_id, i) =>
          mesh(replicas[(i + 1) % 3]!, "/placements", "POST", { workload_id, rail_id: "fast", policy: POLICY }),
        ),
      );
      const statuses = placed.map(({ status }) => status).sort();
      t.deepEqual(statuses.filter((status) => status < 300).length, 3, String(statuses));
      for (const at of replicas) {
        const { json } = await mesh(at, "");
        t.is(json.rail_states.fast.active_count, 3);
      }
      const { text } = await one.call("GET", "/metrics");
      const metric = (name: string) =>
        Number(
          text
            .split("\n")
            .find((line) => line.startsWith(`${name} `))
            ?.split(" ")[1],
        );
      t.true(metric("railgate_store_lease_seconds") > 0 && metric("railgate_store_lease_seconds") <= 10, text);
      t.true(metric("railgate_store_lease_epoch") >= 2);
      t.true(metric("railgate_store_conflicts_total") >= 0);
      t.is(metric('railgate_store_retries_total{code="40001"}'), 0);
      t.is(metric('railgate_store_unseen_commits_total{outcome="unknown"}'), 0);
      t.true(metric('railgate_store_connections{state="idle"}') > 0);
      // Any of them shows every event, and whoever holds any stream's record can have it verified anywhere.
      const chains = (await three.call("GET", "/v1/streams")).json.items.map(
        (each: { chain_id: string }) => each.chain_id,
      );
      t.true(
        ["acme/r1", "acme/r2", "acme/r3"].every((chain) => chains.includes(chain)),
        String(chains),
      );
      const records = { from_sequence: 0, records: [] };
      const sent = await one.call("POST", "/v1/streams/acme%2Fedge/records", { body: records });
      t.deepEqual([sent.status, sent.json.code], [403, "node_forbidden"], "replicas take no records of others");
      const keys = await Promise.all(replicas.map(async (at) => (await at.call("GET", "/.well-known/jwks.json")).text));
      t.is(new Set(keys).size, 1);
      t.is(JSON.parse(keys[0]!).keys.length, 3);
      const { id } = admitted[0]!.json.event;
      t.is((await two.call("GET", `/v1/events/${id}?tenant_id=acme`)).json.record, admitted[0]!.json.receipt);
      // A checkpoint of what another one has just recorded is waited for.
      const fresh = (await three.call("POST", "/v1/admissions", { body: admissible("fresh") })).json.event;
      const shown = await two.call("GET", `/v1/events/${fresh.id}?tenant_id=acme`);
      t.is(shown.json.inclusion?.index, fresh.sequence, shown.text);
      for (const [i, chain_id] of ["acme/r1", "acme/r2", "acme/r3"].entries()) {
        await replicas[i]!.call("POST", "/v1/admissions", { body: admissible(`fresh-${i}`) });
        const { bytes, text, status } = await two.call("POST", "/v1/exports", {
          body: { tenant_id: "acme", chain_id },
        });
        t.is(status, 200, text.slice(0, 500));
        for (const options of [{ trustEmbeddedKeys: true }, { jwks: JSON.parse(keys[0]!) }]) {
          const verified = await verifyExport(bytes, options);
          t.true(verified.ok, JSON.stringify(verified.checks));
        }
      }
      await using store = await openReader({ url, poolMax: 2, scope: "none" });
      const report = await verifyStore(store, () => {});
      t.deepEqual(
        report.streams.map(({ fault }) => fault),
        report.streams.map(() => undefined),
      );
      t.deepEqual([report.states, report.order], [[], []]);
    });
  },
);

run(
  "listings of replicas whose commits overlap are in order of time, then chain and sequence, on any page of any",
  async (t) => {
    const url = await (await testServer()).url();
    // The clock of one is an hour behind: what it records is late.
    const late = new Clock(Date.now() - 3_600_000);
    const replicas = await Promise.all([
      replica(url, "r1", SEVERAL),
      replica(url, "r2"),
      start({ node_id: "r3", store: { url, pool_max: 4 } }, { clock: late.shared }, KEYS),
    ]);
    t.teardown(() => Promise.all(replicas.map((each) => each.close())));
    const admitted = await Promise.all(
      Array.from({ length: 90 }, (_, i) =>
        replicas[i % 3]!.call("POST", "/v1/admissions", { body: admissible(`w-${i}`, i % 9 === 0 ? "other" : "acme") }),
      ),
    );
    const ids = (items: EvidenceEvent[]) => items.map(({ id }) => id);
    const given = admitted.map(({ json }) => json.event as EvidenceEvent).sort(byTime);
    for (const [i, query] of [
      "",
      "&tenant_id=acme",
      "&event_type=workload.admit",
      "&outcome=accepted&tenant_id=acme",
    ].entries()) {
      const items: EvidenceEvent[] = [];
      for (let next: string | null = ""; next !== null; ) {
        const { json } = await replicas[i % 3]!.call(
          "GET",
          `/v1/events?limit=7&order=${i % 2 ? "desc" : "asc"}${query}${next && `&cursor=${encodeURIComponent(next)}`}`,
        );
        items.push(...json.items);
        next = json.next;
      }
      if (i % 2) items.reverse();
      t.deepEqual(ids(items), ids([...items].sort(byTime)), query);
      const own = items.filter(({ event_type }) => event_type === "workload.admit");
      t.deepEqual(
        ids(own),
        ids(given.filter(({ tenant_id }) => !query.includes("acme") || tenant_id === "acme")),
        query,
      );
    }
  },
);

run(
  "many who command one workload, and one mesh, over all replicas at once are all answered, and in one order",
  async (t) => {
    t.timeout(300_000);
    await withReplicas(["r1", "r2", "r3"], async (replicas, url) => {
      t.is((await mesh(replicas[0]!, "/topology", "PUT", { rails: RAILS })).status, 201);
      const clients = Array.from({ length: 24 }, (_, i) => ({ at: replicas[i % 3]!, name: `w-${i}` }));
      const statuses: number[] = [];
      await Promise.all(
        clients.map(async ({ at }) => {
          for (let n = 0; n < 4; n++)
            statuses.push((await at.call("POST", "/v1/admissions", { body: admissible("hot") })).status);
        }),
      );
      t.deepEqual(
        statuses,
        statuses.map(() => 200),
      );
      const moves: number[] = [];
      await Promise.all(
        clients.map(async ({ at, name }) => {
          for (let n = 0; n < 2; n++) {
            const body = { workload_id: name, rail_id: "fast", policy: POLICY };
            const { status } = await mesh(at, "/placements", "POST", body);
            moves.push(status);
            if (status === 201) moves.push((await mesh(at, `/placements/${name}`, "DELETE")).status);
          }
        }),
      );
      t.deepEqual(
        [...new Set(moves)].sort().filter((status) => ![200, 201, 409].includes(status)),
        [],
      );
      await using store = await openReader({ url, poolMax: 2, scope: "none" });
      const found = await store.events({ tenant_id: "acme", order: "asc", limit: 1000 });
      const events = found.map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent);
      const revisions = (type: RegExp) =>
        events.flatMap(({ event_type, details }) =>
          type.test(event_type) ? ((details as { state_revision?: number }).state_revision ?? []) : [],
        );
      const counted = (of: readonly number[]) =>
        t.deepEqual(
          of.toSorted((a, b) => a - b),
          of.map((_, i) => i + 1),
        );
      counted(revisions(/^workload\./));
      t.is(revisions(/^workload\./).length, 96);
      const moved = events
        .filter(({ event_type, outcome }) => /^mesh\.(place|remove)$/.test(event_type) && outcome === "accepted")
        .toSorted((a, b) => revisionOf(a) - revisionOf(b));
      let active = 0;
      for (const { event_type } of moved) {
        active += event_type === "mesh.place" ? 1 : -1;
        t.true(active >= 0 && active <= 3, "a rail holds no more than its capacity at any version");
      }
      counted(revisions(/^mesh\./));
      const report = await verifyStore(store, () => {});
      t.deepEqual([report.states, report.order], [[], []]);
      const figures = await Promise.all(replicas.map(async (at) => (await at.call("GET", "/metrics")).text));
      const sum = (name: string) =>
        figures.reduce((all, text) => all + Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)![1]), 0);
      const turns = sum("railgate_turn_duration_seconds_count");
      t.true(turns > 0 && sum("railgate_turn_duration_seconds_sum") > 0);
      t.true(sum("railgate_turn_wait_seconds_count") >= turns, "one call or more in each");
      t.is(sum("railgate_turn_waiting"), 0);
    });
  },
);

run(
  "the law changes, and then one stops, while replicas take turns: each decides by what its own evidence says",
  async (t) => {
    t.timeout(300_000);
    await withReplicas(["r1", "r2"], async (replicas, url) => {
      const [one, two] = replicas as [Started, Started];
      const submitted = {
        headers: { "content-type": "application/gzip" },
        body: await lawBundle(signer, { revision: "own", sequence: 1 }),
      };
      const { digest } = (await one.call("POST", "/v1/policies", submitted)).json;
      const answers: { readonly at: Started; readonly status: number; readonly law: string; readonly id: string }[] =
        [];
      let over = false;
      const clients = Array.from({ length: 12 }, async (_, i) => {
        const at = replicas[i % 2]!;
        while (!over) {
          const answer = await at.call("POST", "/v1/admissions", { body: admissible("hot") }).catch(() => undefined);
          // The one that has stopped.
          if (answer === undefined) return;
          const { policy_snapshot_id: law, id } = answer.json.event ?? {};
          answers.push({ at, status: answer.status, law, id });
        }
      });
      const takes = async (at: Started) =>
        Number(/^railgate_turn_wait_seconds_count (\d+)/m.exec((await at.call("GET", "/metrics")).text)![1]) > 0;
      try {
        await until(async () => (await takes(one)) && (await takes(two)), "turns of both");
        t.is((await one.call("POST", `/v1/policies/${encodeURIComponent(digest)}/activate`, { body: {} })).status, 200);
        await until(
          () => replicas.every((at) => answers.some((each) => each.at === at && each.law === digest)),
          "the new law on both",
        );
        await one.close();
        const then = answers.length;
        await until(() => answers.length > then + 10, "more answers of the other");
      } finally {
        over = true;
        await Promise.all(clients);
      }
      t.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
      await using store = await openReader({ url, poolMax: 2, scope: "none" });
      // In the order in which each node has committed.
      const found = (await store.events({ order: "asc", limit: 10_000 })).toSorted((a, b) => a.position - b.position);
      const events = found.map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent);
      const recorded = new Set(events.map(({ id }) => id));
      t.deepEqual(
        answers.filter(({ id }) => !recorded.has(id)),
        [],
      );
      for (const node of ["r1", "r2"]) {
        const own = events.filter(({ chain_id }) => chain_id.endsWith(`/${node}`));
        const changed = own.findIndex((each) => each.policy_snapshot_id === digest);
        const laws = (some: EvidenceEvent[]) => [
          ...new Set(
            some.filter(({ subject }) => subject === "hot").map(({ policy_snapshot_id }) => policy_snapshot_id),
          ),
        ];
        t.is(own[changed]?.event_type, "policy.activate");
        t.false(laws(own.slice(0, changed)).includes(digest), node);
        t.deepEqual(laws(own.slice(changed)), [digest], node);
      }
      const report = await verifyStore(store, () => {});
      t.deepEqual([report.states, report.order], [[], []]);
    });
  },
);

run("a policy that is activated on one replica decides on all, each having it in its own stream", async (t) => {
  await withReplicas(["r1", "r2"], async (replicas) => {
    const [one, two] = replicas as [Started, Started];
    const headers = { "content-type": "application/gzip" };
    const bytes = await lawBundle(signer, { revision: "own", sequence: 1 });
    const { digest } = (await one.call("POST", "/v1/policies", { headers, body: bytes })).json;
    t.is((await two.call("GET", "/v1/policies")).json.items.length, 2);
    const following = await fetch(`${two.url}/v1/events?event_type=workload.admit`, {
      headers: { accept: "text/event-stream" },
    });
    const activated = await one.call("POST", `/v1/policies/${encodeURIComponent(digest)}/activate`, { body: {} });
    t.is(activated.status, 200);
    const followed = await until(async () => {
      const { json } = await two.call("GET", "/v1/events?event_type=policy.activate&tenant_id=default");
      const own = json.items.filter((event: { chain_id: string }) => event.chain_id === "default/r2");
      return own.find((event: { details: { digest: string } }) => event.details.digest === digest);
    });
    t.is(followed.outcome, "accepted");
    const { json } = await two.call("POST", "/v1/admissions", { body: admissible("w") });
    t.is(json.event.policy_snapshot_id, digest);
    // A key of a retry counts on any replica.
    const keyed = { headers: { "idempotency-key": "once" }, body: admissible("kept") };
    const first = await one.call("POST", "/v1/admissions", keyed);
    const again = await two.call("POST", "/v1/admissions", keyed);
    t.is(again.text, first.text);
    const atOnce = { headers: { "idempotency-key": "at once" }, body: admissible("raced") };
    const raced = await Promise.all([one, two, one, two].map((at) => at.call("POST", "/v1/admissions", atOnce)));
    t.is(new Set(raced.map(({ text }) => text)).size, 1, raced.map(({ text }) => text).join("\n"));
    // What is committed elsewhere is followed here.
    let seen = "";
    const reader = following.body!.getReader();
    while (!seen.includes('"kept"'))
      seen += Buffer.from((await comes("what is committed elsewhere", reader.read())).value ?? []).toString();
    await reader.cancel();
    // A restart of one finds what decides, and says so no second time.
    t.is((await two.call("GET", "/readyz")).status, 200);
  });
});

run("a server that goes away: nobody is admitted, and it is said; when it is back, so are they", async (t) => {
  const server = await ownServer();
  t.teardown(() => server.stop());
  const at = await replica(await server.url("postgres"), "r1");
  t.teardown(() => at.close());
  t.is((await at.call("POST", "/v1/admissions", { body: admissible("w") })).json.decision.outcome, "accepted");
  server.kill();
  const refused = await at.call("POST", "/v1/admissions", { body: admissible("v") });
  t.is(refused.status, 503);
  t.is(refused.json.code, "evidence_unavailable");
  t.is((await at.call("GET", "/readyz")).status, 503);
  await server.start();
  await until(async () => (await at.call("GET", "/readyz")).status === 200);
  t.is((await at.call("POST", "/v1/admissions", { body: admissible("v") })).json.decision.outcome, "accepted");
  const { json } = await at.call("GET", "/v1/events?tenant_id=acme&order=asc&event_type=workload.admit");
  t.deepEqual(
    json.items.map((event: { subject: string; sequence: number }) => event.subject),
    ["w", "v"],
  );
});
