// Versions of workloads, meshes and namespaces in their events: counted without gaps whatever changed them, and folded by them over several streams.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { hostCaller } from "../../src/core/caller.ts";
import { canonicalJson } from "../../src/core/json.ts";
import { nameOfEntity, entityOf, revisionOf } from "../../src/core/revisions.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { eventTextOf } from "../../src/core/event.ts";
import { FoldedStates } from "../../src/evidence/fsck/folded-states.ts";
import { supersedeCommand } from "../../src/gate/commands/reconciliation.ts";
import { foldTogether } from "../../src/library/together.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { teeRequest } from "../core/requests.ts";
import { admit, admitAll, lifecycle, mesh } from "../gate/commands.ts";
import { admissible, emptyDir } from "../http/support.ts";
import { differingStates } from "../host/history.ts";

const T0 = Date.UTC(2026, 10, 25, 8);
const HOUR = 3_600_000;
const RAILS = [
  { rail_id: "box", level: "sandbox_isolated", latency_overhead_us: 1, capacity: 1 },
  { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 9, capacity: 9 },
] as const;
const FREE = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
} as const;

const report = (measuredMs: number, result: "pass" | "fail" = "pass") => ({
  report_ref: "r",
  platform_type: "amd-sev-snp",
  result,
  measured_at: new Date(measuredMs).toISOString(),
});

function enclave(workload_id: string) {
  const request = teeRequest();
  const dependencies = ["attestation_service", "key_service"].map((kind) => ({
    dependency_id: kind,
    kind,
    available: true,
    local: true,
  }));
  return {
    ...request,
    workload: { ...request.workload, workload_id, dependencies },
    placement: { ...request.placement!, tenancy: "dedicated" },
    attestation: report(T0),
  };
}

/** All that changes a workload, or tries to, and its mesh with it. */
const history = (async () => {
  const dir = emptyDir();
  let nowMs = T0;
  await using node = await RailgateNode.open({ dataDir: join(dir, "data"), now: () => nowMs });
  const move = (workload_id: string, transition: "create" | "start" | "stop" | "destroy") =>
    lifecycle(node, { command: "transition", workload_id, transition }, "acme");
  const attest = (measuredMs: number, result?: "fail") =>
    lifecycle(node, { command: "attest", workload_id: "tee", attestation: report(measuredMs, result) }, "acme");
  const command = (request: object) => mesh(node, { mesh_id: "m", ...request } as never, "acme");
  const place = (workload_id: string, rail_id: string) =>
    command({ command: "place", workload_id, rail_id, policy: FREE });
  await move("a", "start");
  await command({ command: "reload", rails: RAILS });
  await place("a", "box");
  await admitAll(node, [admissible("a"), admissible("a"), admissible("b")]);
  await place("b", "box");
  for (const transition of ["create", "create", "start"] as const) await move("a", transition);
  await command({ command: "elevate", workload_id: "a", target_rail_id: "hw" });
  const refused = admissible("a");
  await admit(node, { ...refused, workload: { ...refused.workload, tenant_id: "acme", risk: "high" } });
  await move("a", "destroy");
  await move("a", "destroy");
  await admit(node, admissible("a"));
  const standing = (await admit(node, enclave("tee"))).event;
  nowMs += 60_000;
  await attest(nowMs - 1000, "fail");
  await attest(nowMs - 500);
  await attest(nowMs - 500);
  nowMs += HOUR;
  await lifecycle(node, { command: "deadline", workload_id: "tee" }, "acme");
  const of = (node_id: string, outcome: "accepted" | "refused", event_id: string) => ({
    node_id,
    event_id,
    at: standing.occurred_at,
    outcome,
    envelope: "tee",
    least_level: outcome === "accepted" ? "hardware_isolated" : null,
    refusal_reason_code: outcome === "refused" ? "runtime_not_allowed" : null,
    policy_snapshot_id: standing.policy_snapshot_id,
    admission: outcome === "accepted" ? (standing.details as never) : null,
  });
  const other = { ...standing, id: standing.id.replace(/^./, "1") };
  await node.gate.run(
    [supersedeCommand("tee", "acme", [of("n1", "accepted", standing.id), of("n2", "refused", other.id)])],
    { caller: hostCaller("test") },
  );
  const events = (await node.store.events({ tenant_id: "acme", order: "asc", limit: 1000 })).map(
    ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
  );
  return { dir, events };
})();

const name = (event: EvidenceEvent) => nameOfEntity(entityOf(event)!);
/** What is told of each change to an entity, in order. */
const changes = (events: readonly EvidenceEvent[], entity: string) =>
  events
    .filter((event) => name(event) === entity && revisionOf(event) !== null)
    .map((event) => [event.event_type.replace(/^workload\.(envelope\.)?/, ""), event.details!["state_revision"]]);

test("every change to a workload tells its version, from 1 without gaps, and goes on after it was destroyed", async (t) => {
  const { events } = await history;
  t.deepEqual(changes(events, "workload a of acme"), [
    ["admit", 1],
    ["admit", 2],
    ["create", 3],
    ["start", 4],
    ["destroy", 5],
    ["admit", 6],
  ]);
  t.deepEqual(changes(events, "workload b of acme"), [["admit", 1]]);
  t.deepEqual(changes(events, "workload tee of acme"), [
    ["admit", 1],
    ["attestation", 2],
    ["attestation", 3],
    ["attestation", 4],
    ["decision.superseded", 5],
  ]);
});

test("of a mesh it is its revision, a removal that follows from a workload's end included", async (t) => {
  const { events } = await history;
  const accepted = events.filter((event) => event.event_type.startsWith("mesh.") && event.outcome === "accepted");
  t.deepEqual(
    accepted.map(({ event_type, details }) => [event_type, details!["state_revision"], details!["revision"]]),
    ["mesh.reload", "mesh.place", "mesh.elevate", "mesh.remove"].map((type, i) => [type, i + 1, i + 1]),
  );
});

test("what is refused tells the version that it was decided on, 0 of what was never heard of", async (t) => {
  const { events } = await history;
  const refused = events.filter(({ outcome }) => outcome === "refused");
  t.deepEqual(
    refused.map((event) => [event.event_type, event.subject, event.details!["seen_revision"]]),
    [
      ["workload.envelope.start", "a", 0],
      ["mesh.place", "b", 2],
      ["workload.envelope.create", "a", 3],
      ["workload.refuse", "a", 4],
      ["workload.envelope.destroy", "a", 5],
      ["workload.attestation", "tee", 1],
      ["workload.attestation", "tee", 3],
    ],
  );
  const missed = events.find(({ outcome }) => outcome === "failed")!;
  t.deepEqual([missed.details!["state_revision"], missed.details!["seen_revision"]], [4, undefined]);
});

test("events fold by their versions, in whatever order streams are read", async (t) => {
  const { dir, events } = await history;
  t.deepEqual(await differingStates(dir), []);
  const orders = [events.toReversed(), events.toSorted((a, b) => (a.event_hash < b.event_hash ? -1 : 1))];
  for (const order of orders) t.deepEqual(faultsOf(order), []);
});

function faultsOf(events: readonly EvidenceEvent[]): string[] {
  using folded = new FoldedStates();
  for (const event of events) folded.fold(event);
  return folded.faults();
}

test("a gap, a twin and a fork are named", async (t) => {
  const { events } = await history;
  const at = (entity: string, revision: number) =>
    events.findIndex((event) => name(event) === entity && event.details!["state_revision"] === revision);
  const [second, third] = [at("workload a of acme", 2), at("workload a of acme", 3)];
  t.deepEqual(faultsOf(events.toSpliced(second, 1)), ["workload a of acme: a gap, no event leads to revision 2"]);
  t.deepEqual(faultsOf(events.filter((_, i) => i !== second && i !== third)), [
    "workload a of acme: a gap, no event leads to revision 2 to 3",
  ]);
  const twin = { ...events[third]!, chain_id: "acme/other", sequence: 7 };
  const twice = ["workload a of acme: a twin, event 7 of acme/other leads to revision 3 as another event does"];
  t.deepEqual(faultsOf([...events, twin]), twice);
  t.deepEqual(faultsOf([events[third]!, twin, ...events.toSpliced(third, 1)]), twice);
  const placed = at("mesh m of acme", 2);
  t.deepEqual(
    faultsOf(events.with(placed, { ...events[placed]!, details: { ...events[placed]!.details, rail_id: "none" } })).map(
      (fault) => fault.replace(/: INV.*/, "").replace(/event \d+ of \S+/, "event N of S"),
    )[0],
    "mesh m of acme: a fork, event N of S does not continue revision 1",
  );
});

/** As much of an export as is looked at together with others. */
function exportOf(events: readonly EvidenceEvent[]): string {
  const dir = emptyDir();
  writeFileSync(join(dir, "events.jsonl"), events.map((event) => `${canonicalJson(event)}\n`).join(""));
  return dir;
}

/** By the verifier in Python; undefined where that is not here. */
function togetherInPython(paths: readonly string[]): string[] | undefined {
  const asks = `import json, sys; sys.path.insert(0, "audit"); import verify
print(json.dumps(verify.together([event for path in sys.argv[1:] for event in verify.events_of(path)])))`;
  const { status, stdout } = spawnSync("python3", ["-c", asks, ...paths], { encoding: "utf8" });
  return status === 0 ? (JSON.parse(stdout) as string[]) : undefined;
}

test("exports of several streams are one history, or what makes them none is named, by both verifiers", async (t) => {
  const { events } = await history;
  const streams = [0, 1].map((rest) =>
    events
      .filter((_, i) => i % 2 === rest)
      .map((event, sequence) => ({ ...event, chain_id: `acme/n${rest}`, sequence })),
  );
  const [one, other] = streams.map(exportOf) as [string, string];
  const told = async (...paths: string[]) => {
    const ours = await foldTogether(paths);
    const theirs = togetherInPython(paths);
    if (theirs === undefined) t.log("NOT CHECKED: python3 with its package cryptography is not here");
    else t.is(theirs.length > 0, ours.length > 0);
    return ours;
  };
  t.deepEqual(await told(one, other), []);
  t.deepEqual(await told(other, one, one), [], "the same event twice is one event");
  t.true((await told(one)).every((fault) => fault.includes("a gap")));
  const forked = exportOf(streams[0]!.with(1, { ...streams[0]![1]!, event_hash: `sha256:${"0".repeat(64)}` }));
  t.deepEqual(await told(one, other, forked), ["a fork, two events are number 1 of acme/n0"]);
  const twin = exportOf([{ ...streams[0]![1]!, chain_id: "acme/n2", sequence: 0 }]);
  const [fault] = await told(one, other, twin);
  t.regex(fault ?? "", /: a twin, event 0 of acme\/n2 leads to revision \d as another event does$/);
});
