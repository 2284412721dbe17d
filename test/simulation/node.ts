// A simulated node: the parts of a real one put together as src/node/open.ts does, over a simulated disk, network and clock. It can be killed, and started from what its disk holds.
import { readFileSync } from "node:fs";
import { tenantCaller } from "../../src/core/caller.ts";
import { EventKey } from "../../src/evidence/keys/event-key.ts";
import { makeIds } from "../../src/evidence/ledger/ids.ts";
import { Ledger } from "../../src/evidence/ledger/ledger.ts";
import { Recorder } from "../../src/evidence/ledger/recorder.ts";
import { StateView } from "../../src/evidence/ledger/state.ts";
import { Intake } from "../../src/evidence/upstream/intake.ts";
import { hasOthers, ownIds } from "../../src/evidence/upstream/own.ts";
import { Gate } from "../../src/gate/gate.ts";
import { DEFAULT_BUNDLE } from "../../src/node/options.ts";
import { Partition, type PartitionMemory } from "../../src/node/partition.ts";
import { partitionBefore, recordPartition } from "../../src/node/partition-record.ts";
import { prepare, type Prepared } from "../../src/node/prepare.ts";
import type { Service } from "../../src/node/services.ts";
import { superseding } from "../../src/node/superseding.ts";
import { Upstreaming } from "../../src/node/upstreaming.ts";
import { loadBundle, type Policy } from "../../src/policy/policy.ts";
import { openReader } from "../../src/store/open.ts";
import type { SharedStore } from "../../src/store/shared.ts";
import type { StoreReader } from "../../src/store/store.ts";
import { makeTrust, type Trust } from "../../src/trust/trust.ts";
import { beginDirectories, type Begun } from "./begun.ts";

export interface NodeSettings {
  readonly nodeId: string;
  readonly dataDir: string;
  /** The node above it. */
  readonly upstream?: string | undefined;
  readonly afterRestore?: string | undefined;
  /** The database that it shares with others; none: its own. */
  readonly store?: SharedStore | undefined;
}

/** The law, what is pinned, and what nodes begin with: loaded once, the same for all. */
export interface Laws {
  readonly policy: Policy;
  readonly trust: Trust;
  readonly begun: Begun;
}

export async function readLaws(): Promise<Laws> {
  const bytes = readFileSync(new URL("../../bundles/railgate.tar.gz", import.meta.url));
  const policy = await loadBundle(bytes, { keys: DEFAULT_BUNDLE.keys });
  return { policy, trust: await makeTrust({ authorities: [], attesters: [] }), begun: await beginDirectories() };
}

/** What a node left in its store when it last ran. */
interface Before {
  readonly ownIds: readonly string[];
  readonly partition: PartitionMemory | undefined;
}

const SIDES = 2;
const HEARTBEAT_MS = 200;
const BACKOFF_MS_MAX = 1000;
export const PARTITION_TIMES = { lostAfterMs: 600, settledAfterMs: 200, reconciledForMs: 2000 };

/** One life of a node: from a start to a kill. */
export class SimulatedNode {
  readonly nodeId: string;
  readonly store: StoreReader;
  /** Several that decide, each on state as it knows it; all commit in one place. */
  readonly gates: readonly Gate[];
  readonly intake: Intake;
  readonly partition: Partition;
  readonly eventKey: EventKey;
  readonly recorder: Recorder;
  readonly ledger: Ledger;
  readonly #upstreaming: Upstreaming;
  readonly #services: readonly Service[];

  private constructor(settings: NodeSettings, laws: Laws, prepared: Prepared, store: StoreReader, before: Before) {
    const { dataDir, upstream } = settings;
    const { at, nodeId, key, log } = prepared;
    const now = (): number => Date.now();
    const newId = makeIds();
    this.nodeId = nodeId;
    this.store = store;
    const views = Array.from({ length: SIDES }, () => new StateView(store));
    const privateJwk = key.privateKey.export({ format: "jwk" });
    const committer = { storePath: at, privateJwk, kid: key.kid, log };
    this.ledger = new Ledger(nodeId, committer);
    const { ledger } = this;
    const evidenceProfileId = "ecs-evidence-baseline";
    const active = { policy: laws.policy, confirmedAtMs: null };
    const recorder = new Recorder({ ledger, evidenceProfileId, now, newId, activePolicy: () => laws.policy });
    this.recorder = recorder;
    this.eventKey = new EventKey({ dataDir, nodeId, source: undefined, store, ledger, recorder, now }, key);
    this.intake = new Intake({
      dataDir,
      storePath: at,
      nodeId,
      ownIds: before.ownIds,
      nodes: [],
      store,
      ledger,
      recorder,
      witnessName: `sim/${nodeId}/witness`,
      now,
      taken: () => this.#upstreaming.grown(),
      checkers: 2,
    });
    this.#upstreaming = new Upstreaming({
      upstream: upstream === undefined ? undefined : upstreamAt(upstream),
      dataDir,
      storePath: at,
      nodeId,
      ownIds: before.ownIds,
      store,
      gate: () => this.gates[0]!,
      partition: () => this.partition,
      checkpoint: () => ledger.checkpoint(),
    });
    this.partition = new Partition({
      times: PARTITION_TIMES,
      before: before.partition,
      record: async (change) => {
        this.#upstreaming.changed(change);
        await recordPartition(recorder, change, { store, nodeId });
      },
      reconciled: () => this.#upstreaming.reconciled(),
      now,
    });
    const common = {
      ledger,
      store,
      trust: laws.trust,
      active: () => active,
      evidenceProfileId,
      now,
      newId,
      observe: {},
    };
    this.gates = views.map((states) => new Gate({ ...common, states, partition: () => this.partition.context() }));
    ledger.onCommit = () => {
      for (const states of views) states.trim(ledger.committed);
      this.#upstreaming.grown();
    };
    ledger.onReset = () => {
      for (const states of views) states.reset();
    };
    this.#services = [
      this.partition.service(),
      this.#upstreaming.service(),
      superseding({
        intake: this.intake,
        gate: this.gates[0]!,
        others: async () => !store.shared && (await hasOthers(store)),
        decides: () => true,
        failed: () => {},
      }),
    ];
  }

  /** @throws whatever keeps a node from starting. */
  static async start(settings: NodeSettings, laws: Laws): Promise<SimulatedNode> {
    const { nodeId, dataDir, afterRestore } = settings;
    const prepared = await prepare({ dataDir, nodeId, afterRestore, store: settings.store }, Date.now());
    const store = await openReader(prepared.at);
    const before = { ownIds: await ownIds(store), partition: await partitionBefore(store) };
    const node = new SimulatedNode(settings, laws, prepared, store, before);
    const { restored } = prepared;
    await node.recorder.record("node.start", {
      node_id: node.nodeId,
      version: "simulated",
      kid: prepared.key.kid,
      ...(restored && { act: "restore", reason: restored.reason, restored_from: restored.from }),
    });
    for (const service of node.#services) await service.start();
    return node;
  }

  /** An operator says that it is cut off, or that it no longer is. */
  async isolate(isolated: boolean): Promise<void> {
    this.#upstreaming.isolate(isolated);
    if (isolated) await this.partition.isolate("a drill");
    else await this.partition.rejoin();
  }

  /** Records that have not arrived upstream. */
  async backlog(): Promise<number> {
    return (await this.#upstreaming.status())?.backlog ?? 0;
  }
}

function upstreamAt(name: string) {
  const access = {
    name: "upstream",
    url: `http://${name}`,
    headers: {},
    allowInsecureTls: false,
    responseHeaderTimeoutS: 30,
    tls: { systemCaRequired: false },
  };
  return { access, heartbeatMs: HEARTBEAT_MS, backoffMsMax: BACKOFF_MS_MAX };
}

export const callerOf = (tenantId: string) => tenantCaller(tenantId, "simulated");
