// `node bench/history.ts [events]`: starting, reading meshes and `railgate doctor` with ten thousand events behind it, and with a million: neither start nor memory may grow with them.
import { readMesh } from "../src/store/meshes.ts";
import { meshCommand } from "../src/gate/commands/mesh.ts";
import { hostCaller } from "../src/core/caller.ts";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { v7 as uuidv7 } from "uuid";
import { chainId, digestOf, EMPTY_STREAM, linkEvent, type EventDraft, type Head } from "../src/core/event.ts";
import { meshChanges, step, type MeshState } from "../src/core/mesh.ts";
import { stepWorkload, type Workload } from "../src/core/workload.ts";
import { verifyStore } from "../src/evidence/fsck/streams.ts";
import { loadKey } from "../src/evidence/keys/keys.ts";
import { recordSigner } from "../src/evidence/ledger/sign.ts";
import { RailgateNode } from "../src/node/open.ts";
import { openReader, openWriter } from "../src/store/open.ts";
import type { Append, StateWrite } from "../src/store/store.ts";

const SMALL = 10_000;
const LARGE = 1_000_000;
const TENANTS = 10;
const BATCH = 4096;
/** Workloads that stay on their rail: one in so many. */
const STAYS = 10;
const ARTIFACT = "{}";
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
} as const;
const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 1_000_000 },
  { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 9, capacity: 1_000_000 },
] as const;

/** One tenant's history: workloads that are admitted, created, placed, elevated, and mostly removed again. */
class History {
  readonly tenantId: string;
  readonly chain: string;
  #head: Head = EMPTY_STREAM;
  #mesh: MeshState | null = null;
  #workload: Workload | null = null;

  constructor(tenantId: string, nodeId: string) {
    this.tenantId = tenantId;
    this.chain = chainId(tenantId, nodeId);
  }

  *life(n: number, sign: (text: string) => string): Generator<Append> {
    const workload_id = `w-${n}`;
    this.#workload = null;
    if (this.#mesh === null)
      yield this.#append(sign, "mesh.reload", null, { ...this.#mesh_(), topology: { rails: RAILS } });
    yield this.#append(sign, "workload.admit", workload_id, {
      workload_id,
      envelope: { declared: "container", required: "container" },
      least_level: "shared",
      obligations: [],
      reattestation_interval_s: null,
      valid_until: null,
      crp: false,
      governance_profile: "baseline",
      platform: null,
      attestation: null,
    });
    yield this.#append(sign, "workload.envelope.create", workload_id, {
      workload_id,
      transition: "create",
      from_state: "admitted",
      to_state: "created",
      error_code: null,
    });
    yield this.#append(sign, "mesh.place", workload_id, {
      ...this.#mesh_(),
      workload_id,
      rail_id: "fast",
      policy: POLICY,
    });
    yield this.#append(sign, "mesh.elevate", workload_id, {
      ...this.#mesh_(),
      workload_id,
      from_rail_id: "fast",
      to_rail_id: "hw",
    });
    if (n % STAYS !== 0)
      yield this.#append(sign, "mesh.remove", workload_id, { ...this.#mesh_(), workload_id, rail_id: "hw" });
  }

  #mesh_ = () => ({
    mesh_id: "m",
    mesh_event: "MESH_001",
    error_code: null,
    revision: (this.#mesh?.revision ?? 0) + 1,
  });

  #append(
    sign: (text: string) => string,
    event_type: EventDraft["event_type"],
    workload_id: string | null,
    details: EventDraft["details"] & object,
  ): Append {
    const draft: EventDraft = {
      id: uuidv7(),
      event_type,
      occurred_at: "2026-11-25T08:00:00.000Z",
      tenant_id: this.tenantId,
      actor: "bench",
      correlation_id: "bench",
      outcome: "accepted",
      evidence_profile_id: "ecs-evidence-admissible",
      evidence_pointer: `eosc://evidence/${digestOf(ARTIFACT)}`,
      policy_snapshot_id: digestOf(""),
      authority_snapshot_id: digestOf("[]"),
      subject: workload_id ?? "m",
      details,
    };
    const { text, head } = linkEvent(draft, this.chain, this.#head);
    const sequence = this.#head.size;
    this.#head = head;
    return {
      chain_id: this.chain,
      sequence,
      id: draft.id,
      event_type,
      outcome: "accepted",
      tenant_id: this.tenantId,
      workload_id,
      correlation_id: "bench",
      occurred_at_ms: Date.parse(draft.occurred_at),
      event_hash: head.hash!,
      artifact_digest: digestOf(ARTIFACT),
      artifact: ARTIFACT,
      blobs: [],
      states: this.#fold(draft),
      record: sign(text),
    };
  }

  #fold(draft: EventDraft): StateWrite[] {
    if (draft.event_type.startsWith("workload.")) {
      this.#workload = stepWorkload(this.#workload, draft);
      return [
        { kind: "workload", tenant_id: this.tenantId, key: draft.subject!, value: JSON.stringify(this.#workload) },
      ];
    }
    const before = this.#mesh;
    this.#mesh = step(before, draft);
    return meshChanges(before, this.#mesh!, draft).map(({ part, key, value }) => ({
      kind: "mesh",
      tenant_id: this.tenantId,
      key: `m ${part} ${key}`,
      value: value === null ? null : JSON.stringify(value),
    }));
  }
}

async function write(dataDir: string, events: number): Promise<void> {
  const node = await RailgateNode.open({ dataDir });
  const { nodeId } = node;
  await node.close();
  const { privateKey, kid } = await loadKey(dataDir, "event", false);
  const { sign } = recordSigner(privateKey, kid);
  const histories = Array.from({ length: TENANTS }, (_, n) => new History(`t-${n}`, nodeId));
  await using writer = await openWriter(dataDir);
  let batch: Append[] = [];
  let written = 0;
  for (let n = 0; written < events; n++) {
    for (const append of histories[n % TENANTS]!.life(n, sign)) batch.push(append);
    if (batch.length < BATCH && written + batch.length < events) continue;
    await writer.append(batch);
    written += batch.length;
    batch = [];
  }
}

async function measured(dataDir: string): Promise<Record<string, number>> {
  const started = performance.now();
  const node = await RailgateNode.open({ dataDir });
  const opened = performance.now();
  const mesh = (await readMesh(node.store, "t-0", "m"))!;
  const read = performance.now();
  const elevate = { command: "elevate", mesh_id: "m", workload_id: "nobody", target_rail_id: "hw" } as const;
  await node.gate.run([meshCommand(elevate, "t-0")], { caller: hostCaller("bench") });
  const answered = performance.now();
  await node.close();
  return {
    "open the node, ms": opened - started,
    [`read a tenant's mesh, ms`]: read - opened,
    "first command, ms": answered - read,
    "revision of that mesh": mesh.revision,
  };
}

/** In a process of its own, so that its memory is its own. */
function doctor(dataDir: string): Record<string, number> {
  const run = spawnSync(process.execPath, [import.meta.filename, "doctor", dataDir], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as Record<string, number>;
}

async function runDoctor(dataDir: string): Promise<void> {
  const started = performance.now();
  await using store = await openReader(dataDir);
  const { streams, states } = await verifyStore(store, () => {});
  const faults = streams.filter(({ fault }) => fault !== undefined).length + (states ?? ["not compared"]).length;
  console.log(
    JSON.stringify({
      "doctor, s": (performance.now() - started) / 1000,
      "doctor, MiB at most": process.resourceUsage().maxRSS / 1024,
      "doctor's findings": faults,
    }),
  );
}

const [first, dir] = process.argv.slice(2);
if (first === "doctor") await runDoctor(dir!);
else {
  for (const events of [SMALL, first === undefined ? LARGE : Number(first)]) {
    const dataDir = mkdtempSync(join(tmpdir(), "railgate-bench-history-"));
    try {
      await write(dataDir, events);
      console.log(`\n${events} events`);
      for (const [what, value] of Object.entries({ ...(await measured(dataDir)), ...doctor(dataDir) }))
        console.log(`  ${what.padEnd(28)} ${value.toFixed(value < 100 ? 1 : 0)}`);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  }
}
