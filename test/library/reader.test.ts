// What the library reads for a caller: pages that go on, single events with their proofs, events as they come, and nothing of another tenant's.
import test from "ava";
import { NOBODY, operatorCaller, tenantCaller } from "../../src/core/caller.ts";
import { sha256 } from "../../src/core/sha256.ts";
import { openRailgate, type LocalRailgate } from "../../src/library/index.ts";
import { admissible, emptyDir } from "../http/support.ts";

const RAILS = [{ rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 2 }] as const;
const INVALID = { code: "request_invalid" };

async function filled(): Promise<LocalRailgate> {
  const gate = await openRailgate({ dataDir: emptyDir() });
  await gate.admitAll([admissible("a", "acme"), admissible("b", "acme"), admissible("c", "globex")]);
  return gate;
}

test("listings go on where a page ended, and a cursor is good for its own listing only", async (t) => {
  await using gate = await filled();
  const first = await gate.events({ tenant_id: "acme", order: "asc", limit: 1 });
  t.deepEqual([first.items.map(({ subject }) => subject), first.records.length], [["a"], 1]);
  const rest = await gate.events({ tenant_id: "acme", cursor: first.next! });
  t.deepEqual([rest.items.map(({ subject }) => subject), rest.next], [["b"], null]);
  await t.throwsAsync(gate.events({ cursor: first.next!, order: "desc" }), INVALID);
  for (const query of [{ cursor: "x" }, { limit: 0 }, { since: "yesterday" }, { tenant: "acme" }, { event_type: "x" }])
    await t.throwsAsync(gate.events(query as never), INVALID, JSON.stringify(query));
  const workloads = await gate.workloads({ limit: 2 });
  t.deepEqual(
    workloads.items.map(({ workload_id }) => workload_id),
    ["a", "b"],
  );
  t.like(await gate.workloads({ cursor: workloads.next! }), { items: [{ workload_id: "c" }], next: null });
  for (const id of ["m1", "m2"]) await gate.mesh(id).define({ rails: RAILS });
  const meshes = await gate.meshes({ limit: 1 });
  t.like(await gate.meshes({ cursor: meshes.next! }), { items: [{ mesh_id: "m2" }], next: null });
});

test("an event comes with its record and its place, and its artifact byte for byte", async (t) => {
  await using gate = await filled();
  const { event, receipt } = await gate.admit(admissible("d", "acme"));
  const found = await gate.event(event.id);
  t.deepEqual([found.event, found.record], [event, receipt]);
  const { index, size, hashes } = found.inclusion!;
  t.deepEqual(await gate.inclusionProof(event.chain_id, index, size), [...hashes]);
  t.regex(await gate.checkpoint(event.chain_id), new RegExp(`/${event.chain_id}\n${size}\n`));
  t.is((await gate.tile(event.chain_id, `0/000.p/${size}`)).length, size * 32);
  const { digest, bytes } = await gate.artifact(event.id);
  t.is(digest, `sha256:${Buffer.from(sha256(bytes)).toString("hex")}`);
  t.is(event.evidence_pointer, `eosc://evidence/${digest}`);
  await t.throwsAsync(gate.event("nothing"), { code: "event_unknown" });
  await t.throwsAsync(gate.tile(event.chain_id, "0/999"), { code: "tile_unknown" });
  await t.throwsAsync(gate.consistencyProof(event.chain_id, 2, 1), INVALID);
  await t.throwsAsync(gate.inclusionProof("no/stream", 0, 1), { code: "stream_unknown" });
});

test("events are followed from now on, from a time, or from behind another; as long as it is wanted", async (t) => {
  await using gate = await filled();
  const { event: before } = await gate.admit(admissible("before", "acme"));
  const [later, again, since] = [
    gate.follow(),
    gate.follow({ after: before.id }),
    gate.follow({ since: before.occurred_at, workload_id: "before" }),
  ];
  const next = later[Symbol.asyncIterator]().next();
  const { event } = await gate.admit(admissible("after", "globex"));
  t.deepEqual((await next).value, event);
  for await (const each of again) {
    t.is(each.id, event.id);
    break;
  }
  for await (const each of since) {
    t.is(each.id, before.id);
    break;
  }
  const stopping = new AbortController();
  const stopped = gate.follow({ tenant_id: "nobody-s" }, stopping.signal)[Symbol.asyncIterator]().next();
  stopping.abort();
  t.true((await stopped).done);
  await t.throwsAsync(gate.follow({ after: "nothing" })[Symbol.asyncIterator]().next(), { code: "event_unknown" });
});

test("a caller sees its own tenant's, and nobody anything", async (t) => {
  await using host = await filled();
  const acme = host.as(tenantCaller("acme", "jwt:us#ann"));
  const theirs = (await host.events({ tenant_id: "globex" })).items[0]!;
  t.deepEqual(new Set((await acme.events()).items.map(({ tenant_id }) => tenant_id)), new Set(["acme"]));
  t.is((await acme.workloads()).items.length, 2);
  t.deepEqual(
    (await acme.streams()).map(({ chain_id }) => chain_id.split("/")[0]),
    ["acme"],
  );
  const FORBIDDEN = { code: "tenant_forbidden" };
  await t.throwsAsync(acme.events({ tenant_id: "globex" }), FORBIDDEN);
  await t.throwsAsync(acme.workload("c", "globex").show(), FORBIDDEN);
  await t.throwsAsync(acme.mesh("m", "globex").define({ rails: RAILS }), FORBIDDEN);
  await t.throwsAsync(acme.export({ tenant_id: "globex" }), FORBIDDEN);
  for (const asking of [acme.event(theirs.id), acme.artifact(theirs.id), host.event(theirs.id, { tenant_id: "acme" })])
    await t.throwsAsync(asking, { code: "event_unknown" });
  await t.throwsAsync(acme.checkpoint(theirs.chain_id), { code: "stream_unknown" });
  t.is((await acme.workload("a").show())!.workload_id, "a", "its own where it names none");
  for (const asking of [() => host.as(NOBODY).events(), () => host.as(NOBODY).admit(admissible("x", "acme"))])
    await t.throwsAsync(asking, FORBIDDEN);
});

test("operators rotate and erase, on record under their name; tenants do not", async (t) => {
  await using host = await filled();
  const operator = host.as(operatorCaller("jwt:us#ops"));
  const acme = host.as(tenantCaller("acme", "jwt:us#ann"));
  const { event } = await acme.admit(admissible("personal", "acme"));
  const NEEDED = { code: "operator_needed" };
  await t.throwsAsync(acme.rotateKey(), NEEDED);
  await t.throwsAsync(acme.erase(event.id, { basis: "because" }), NEEDED);
  await t.throwsAsync(operator.erase(event.id, { basis: " " }), INVALID);
  await operator.erase(event.id, { basis: "request 4711" });
  await t.throwsAsync(acme.artifact(event.id), { code: "artifact_unknown" });
  await t.throwsAsync(operator.erase(event.id, { basis: "request 4711" }), { code: "artifact_unknown" });
  const { old_kid, new_kid } = await operator.rotateKey();
  t.not(old_kid, new_kid);
  t.like(await operator.jwks(), { keys: { 0: { kid: old_kid }, 1: { kid: new_kid } } });
  const acts = (await host.events({ tenant_id: "acme", limit: 2 })).items;
  t.deepEqual(
    acts.map(({ event_type, actor }) => [event_type, actor]),
    [
      ["key.rotate", "jwt:us#ops"],
      ["chain.anchor", "jwt:us#ops"],
    ],
  );
});

test("an export is a stream that verifies here", async (t) => {
  await using gate = await filled();
  await using made = await gate.export({ tenant_id: "acme", evidence_profile_id: "ecs-evidence-baseline" });
  const report = await gate.verify(made.archive);
  t.deepEqual([report.ok, report.export.export_id], [true, made.exportId]);
  await t.throwsAsync(gate.export({ tenant_id: "never" }), { code: "stream_unknown" });
  t.deepEqual(await gate.status(), { ready: true, problem: null });
});
