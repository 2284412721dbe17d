// Re-attestation deadlines that pass while the node is down, or many at once: each is put on record by the node itself, once.
import { admit, admitAll, lifecycle } from "../gate/commands.ts";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import type { AdmissionRequest } from "../../src/core/schema/request.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { emptyDir, verifiedEvents } from "../http/support.ts";
import { teeRequest } from "../core/requests.ts";
import { differingStates } from "./history.ts";
import { until } from "../until.ts";

const T0 = Date.UTC(2026, 10, 25, 8);
const HOUR = 3_600_000;
/** More than the node looks at in one go. */
const WORKLOADS = 130;

function enclave(workload_id: string): AdmissionRequest {
  const request = teeRequest();
  const dependencies = ["attestation_service", "key_service"].map((kind) => ({
    dependency_id: kind,
    kind,
    available: true,
    local: true,
  }));
  const attestation = {
    report_ref: "r",
    platform_type: "amd-sev-snp",
    result: "pass" as const,
    measured_at: new Date(T0).toISOString(),
  };
  return {
    ...request,
    workload: { ...request.workload, workload_id, dependencies } as AdmissionRequest["workload"],
    placement: { ...request.placement!, tenancy: "dedicated" },
    attestation,
  };
}

const isMissed = ({ event_type, details }: EvidenceEvent) =>
  event_type === "workload.attestation" && details?.["standing"] === "missed";

test("deadlines that passed while the node was down are on record soon after it is back", async (t) => {
  const dir = emptyDir();
  let nowMs = T0;
  const open = () => RailgateNode.open({ dataDir: join(dir, "data"), now: () => nowMs });
  {
    await using node = await open();
    const admitted = await admitAll(
      node,
      Array.from({ length: WORKLOADS }, (_, n) => enclave(`w-${n}`)),
    );
    t.true(admitted.every(({ decision }) => decision.outcome === "accepted"));
  }
  nowMs = T0 + HOUR;
  {
    await using node = await open();
    // The node's own timer keeps no process alive.
    const attestations = () => node.store.events({ event_type: "workload.attestation", order: "asc", limit: 1000 });
    await until(async () => (await attestations()).length >= WORKLOADS);
    t.deepEqual(await node.store.due("workload", nowMs, 10), []);
    const move = (transition: "create" | "start") =>
      lifecycle(node, { command: "transition", workload_id: "w-0", transition }, "acme");
    t.is((await move("create")).refusal, undefined, "a missed deadline keeps it from starting, not from being created");
    t.is((await move("start")).refusal?.code, "attestation_stale");
  }
  const missed = (await verifiedEvents(dir)).filter(isMissed);
  t.is(new Set(missed.map(({ subject }) => subject)).size, WORKLOADS);
  t.is(missed.length, WORKLOADS);
  t.true(missed.every(({ actor, outcome }) => actor === "node" && outcome === "failed"));
  t.deepEqual(await differingStates(dir), []);
});

test("while no policy can decide, missed deadlines wait, leave nothing, and are on record once one can", async (t) => {
  const dir = emptyDir();
  let nowMs = T0;
  const open = (options: Partial<NodeOptions> = {}) =>
    RailgateNode.open({ dataDir: join(dir, "data"), now: () => nowMs, ...options });
  {
    await using node = await open();
    for (let n = 0; n < 3; n++) t.is((await admit(node, enclave(`w-${n}`))).decision.outcome, "accepted");
  }
  nowMs = T0 + HOUR;
  for (const options of [
    { bundle: { bytes: () => Buffer.from("no bundle"), keys: { keys: [] } } },
    // Every evaluation is over it.
    { evaluationMsMax: -1 },
  ]) {
    await using node = await open(options);
    await sleep(3500);
    t.is((await node.store.events({ event_type: "workload.attestation", order: "asc", limit: 10 })).length, 0);
  }
  await using node = await open();
  await until(async () => (await node.store.due("workload", nowMs, 10)).length === 0);
  await sleep(1500);
  t.is((await node.store.events({ event_type: "workload.attestation", order: "asc", limit: 10 })).length, 3);
  const missed = (await verifiedEvents(dir)).filter(isMissed);
  t.deepEqual(missed.map(({ subject }) => subject).sort(), ["w-0", "w-1", "w-2"]);
});
