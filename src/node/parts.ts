// The parts of a node, and how they hear of one another. Whatever a part does, it does elsewhere.
import { availableParallelism } from "node:os";
import type { Context } from "../core/schema/input.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { EventKey } from "../evidence/keys/event-key.ts";
import { makeIds } from "../evidence/ledger/ids.ts";
import { DEFAULT_LEDGER_LIMITS, Ledger } from "../evidence/ledger/ledger.ts";
import { Recorder } from "../evidence/ledger/recorder.ts";
import { StateClaims } from "../evidence/ledger/claims.ts";
import { StateView } from "../evidence/ledger/state.ts";
import { TransparencyLog } from "../evidence/log/log.ts";
import type { Witness } from "../evidence/log/witness.ts";
import { Intake } from "../evidence/upstream/intake.ts";
import { Gate } from "../gate/gate.ts";
import type { RemoteService } from "../outbound/service.ts";
import type { Policies } from "../policies/activate.ts";
import type { Registry } from "../policies/registry.ts";
import type { Shadows } from "../policies/shadow.ts";
import type { SettingsSource } from "../policies/choose.ts";
import type { Policy } from "../policy/policy.ts";
import { isShared, type StoreAt } from "../store/open.ts";
import { letGo } from "../store/shared.ts";
import type { StoreReader } from "../store/store.ts";
import { bundleStore } from "../trust/provenance/store.ts";
import { makeTrust, type Trust, type TrustConfig } from "../trust/trust.ts";
import type { Before } from "./before.ts";
import { remoteServices } from "./bundle-services.ts";
import { ClockWatch } from "./clock.ts";
import { DEFAULT_BUNDLE, VERSION, type NodeOptions } from "./options.ts";
import { Partition, PARTITION_TIMES } from "./partition.ts";
import { recordPartition } from "./partition-record.ts";
import { makePolicies, shadowedDecision } from "./policies.ts";
import type { Prepared } from "./prepare.ts";
import { renewable } from "./renewable.ts";
import type { Logs } from "./sharing.ts";
import { Seats } from "./threads/seats.ts";
import { checkSettingsSource, settingsError, settingsSource } from "./settings.ts";
import { NodeReports } from "./reporting.ts";
import { Upstreaming } from "./upstreaming.ts";
import { Subscribers } from "./subscribers.ts";
import { makeWitness } from "./witnessing.ts";

export const NO_TRUST_CONFIG: TrustConfig = { authorities: [], attesters: [] };

export class NodeParts {
  readonly options: NodeOptions;
  readonly at: StoreAt;
  readonly nodeId: string;
  /** Names this node's logs, and so who vouches for its evidence. */
  readonly logOrigin: string;
  /** A UUID, version 7. */
  readonly newId: () => string;
  /** Committed evidence and state. */
  readonly store: StoreReader;
  readonly gate: Gate;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly eventKey: EventKey;
  /** The streams as transparency logs. */
  readonly log: TransparencyLog;
  /** Of the logs that the options name. */
  readonly witness: Witness | undefined;
  /** Takes the records of other nodes. */
  readonly intake: Intake;
  /** Whether it is cut off; whoever hears from others reports to it. */
  readonly partition: Partition;
  readonly subscribers = new Subscribers();
  /** Threads that decide beside this one. */
  readonly seats: Seats | undefined;
  /** Servers of others that bundles come from and reports go to. */
  readonly remotes: ReadonlyMap<string, RemoteService>;
  readonly policies: Policies;
  readonly shadows: Shadows;
  /** What operators do with policies. */
  readonly registry: Registry;
  readonly upstreaming: Upstreaming;
  readonly reporting: NodeReports;
  readonly clock: ClockWatch;
  /** Whose logs are in the store: of other nodes as well where they share it. */
  logs: Logs;
  #trust: Trust;
  #trustConfig: TrustConfig;

  constructor(options: NodeOptions, store: StoreReader, trust: Trust, prepared: Prepared, before: Before) {
    const { at, nodeId, key, log, witnessKey } = prepared;
    this.options = options;
    this.at = at;
    this.#trust = trust;
    this.#trustConfig = options.trust ?? NO_TRUST_CONFIG;
    this.store = store;
    this.nodeId = nodeId;
    this.logOrigin = log.origin;
    const observe = options.observe ?? {};
    this.clock = new ClockWatch(this.now(), before.lastEventMs);
    this.seats = options.threads ? this.#takesThreads() : undefined;
    const states = new StateView(store, this.seats && new StateClaims(this.seats.memory, 0));
    this.ledger = makeLedger(prepared, options.queueMax);
    this.#watchLedger(states);
    const newId = (this.newId = makeIds());
    this.remotes = remoteServices(options);
    const pinned = renewable(() => this.#trust);
    const { policies, shadows, registry } = makePolicies({
      options,
      nodeId,
      store,
      trust: pinned,
      settings: this.#settings,
      recorder: () => this.recorder,
      rejected: (problem) => {
        observe.policyRejected?.(problem);
        this.reporting.changed();
      },
      shadowing: () => this.seats?.pulse(),
      now: this.now,
    });
    this.policies = policies;
    this.shadows = shadows;
    policies.onChange(() => this.seats?.policiesChanged());
    this.registry = registry;
    this.recorder = new Recorder({
      ledger: this.ledger,
      evidenceProfileId: this.#evidenceProfileId,
      now: this.now,
      newId,
      activePolicy: () => this.policy,
    });
    this.eventKey = new EventKey(
      {
        dataDir: options.dataDir,
        nodeId,
        source: options.eventKey,
        store,
        ledger: this.ledger,
        recorder: this.recorder,
        now: this.now,
      },
      key,
    );
    this.logs = before.logs;
    this.log = new TransparencyLog({
      reader: store.log,
      logs: () => this.logs,
      checkpoint: () => this.ledger.checkpoint(),
    });
    this.witness = makeWitness({ options, nodeId, key: witnessKey, recorder: this.recorder, now: this.now });
    this.intake = this.#takesRecords(before);
    this.upstreaming = this.#sendsRecords(before);
    this.partition = this.#watchesPartition(before);
    this.reporting = this.#reports(before);
    this.gate = new Gate({
      ledger: this.ledger,
      states,
      store,
      trust: pinned,
      active: () => this.policies.active,
      answering: (path) => this.policies.find(path) ?? this.policies.active,
      law: () => this.policies.changes,
      partition: () => this.#partitionNow(),
      evidenceProfileId: this.#evidenceProfileId,
      queueMax: options.queueMax,
      now: this.now,
      newId,
      observe,
      decided: (enacted, command) => this.#decided(enacted, command),
    });
  }

  get policy(): Policy | null {
    return this.policies.active.policy;
  }

  readonly now = (): number => (this.options.now ?? Date.now)();

  get #evidenceProfileId(): string {
    return this.options.evidenceProfileId ?? DEFAULTS.evidenceProfile;
  }

  /** Loads the policies, and records that the node started. */
  async start({ key, restored }: Prepared): Promise<void> {
    this.ledger.begin();
    const { bundle = DEFAULT_BUNDLE, bundles = [], settings } = this.options;
    if (this.#settings) await checkSettingsSource(this.#settings, "railgate.settings", settings);
    const shipped = bundles.length === 0 && bundle === DEFAULT_BUNDLE;
    await this.policies.open(bundles.length > 0 ? bundles : [bundle], shipped);
    const fault = this.policies.slots.settingsFault;
    if (fault) throw settingsError("railgate.settings", settings, fault);
    this.lookAtClock();
    const { behindMs, latest } = this.clock;
    // The first event under a new id says why it has one.
    const isNew = (await this.store.log.stream(`default/${this.nodeId}`)) === undefined;
    await this.recorder.record("node.start", {
      node_id: this.nodeId,
      version: VERSION,
      kid: key.kid,
      ...(behindMs > 0 && { clock: { behind_s: Math.round(behindMs / 1000), latest } }),
      ...(restored && isNew && { act: "restore", reason: restored.reason, restored_from: restored.from }),
    });
    await this.policies.record();
    await this.registry.resume();
  }

  get trust(): Trust {
    return this.#trust;
  }

  /** See RailgateNode. */
  async renewTrust(config: TrustConfig): Promise<void> {
    const before = this.#trust;
    this.#trust = await makeTrust(config, bundleStore(this.store));
    this.#trustConfig = config;
    this.seats?.trustRenewed();
    await before.close();
  }

  /** Waits for what was decided to become durable, then lets go of everything. */
  async close(): Promise<void> {
    await this.intake.close();
    for (const remote of this.remotes.values()) remote.close();
    await this.policies.close();
    await this.shadows.settled();
    await this.ledger.close();
    await this.#trust.close();
    await this.store.close();
    await letGo(this.at);
  }

  #watchLedger(states: StateView): void {
    const observe = this.options.observe ?? {};
    this.ledger.onCommit = (events, figures) => {
      states.trim(this.ledger.committed);
      observe.committed?.(figures);
      this.upstreaming.grown();
      this.reporting.grown(events.at(-1)!.position);
      this.subscribers.tell(events);
    };
    this.ledger.onTurn = (ms) => observe.turned?.(ms);
    this.ledger.onReset = () => {
      states.reset();
      this.seats?.reset();
      this.policies.reset();
      observe.evidenceFailed?.(this.ledger.failure ?? "unknown");
    };
    this.ledger.onCheckpointFailure = (message) => observe.checkpointFailed?.(message);
  }

  get #settings(): SettingsSource | undefined {
    const { settings, settingsKeys, bundle = DEFAULT_BUNDLE } = this.options;
    return settingsSource(settings, settingsKeys ?? bundle.keys);
  }

  #watchesPartition(before: Before): Partition {
    return new Partition({
      times: { ...PARTITION_TIMES, ...this.options.partitionTimes },
      before: before.partition,
      record: async (change) => {
        this.upstreaming.changed(change);
        this.seats?.pulse();
        await recordPartition(this.recorder, change, this);
      },
      reconciled: () => this.upstreaming.reconciled(),
      now: this.now,
    });
  }

  #takesThreads(): Seats {
    const { evaluationMsMax, queueMax } = this.options;
    return new Seats({
      ledger: () => this.ledger,
      policies: () => this.policies,
      partition: () => this.#partitionNow(),
      trust: () => this.#trustConfig,
      beginning: {
        at: this.at,
        nodeId: this.nodeId,
        evidenceProfileId: this.#evidenceProfileId,
        evaluationMsMax,
        queueMax,
      },
      shadowing: () => this.shadows.active,
      shadowed: (decision) => this.shadows.decided(decision),
    });
  }

  /** Asks the policy that decides beside the active one, where there is one. */
  #decided(...decided: Parameters<typeof shadowedDecision>): void {
    const decision = this.shadows.active ? shadowedDecision(...decided) : undefined;
    if (decision) this.shadows.decided(decision);
  }

  #partitionNow(): Context["partition"] {
    return this.options.partition?.() ?? this.partition.context();
  }

  #sendsRecords(before: Before): Upstreaming {
    return new Upstreaming({
      upstream: this.options.upstream,
      dataDir: this.options.dataDir,
      storePath: this.at,
      nodeId: this.nodeId,
      ownIds: before.ownIds,
      store: this.store,
      gate: () => this.gate,
      partition: () => this.partition,
      checkpoint: () => this.ledger.checkpoint(),
    });
  }

  #reports(before: Before): NodeReports {
    return new NodeReports({
      options: this.options,
      nodeId: this.nodeId,
      storePath: this.at,
      ownIds: before.ownIds,
      store: this.store,
      remotes: this.remotes,
      policies: this.policies,
      isolated: () => this.partition.isolated,
    });
  }

  #takesRecords(before: Before): Intake {
    return new Intake({
      dataDir: this.options.dataDir,
      storePath: this.at,
      nodeId: this.nodeId,
      ownIds: before.ownIds,
      nodes: this.options.downstream ?? [],
      store: this.store,
      ledger: this.ledger,
      recorder: this.recorder,
      witnessName: this.options.witness?.name ?? `railgate.local/${this.nodeId}/witness`,
      now: this.now,
      taken: (arrived) => {
        if (this.subscribers.any) this.subscribers.tell(arrived.events());
        this.upstreaming.grown();
        this.reporting.grown(arrived.last);
      },
    });
  }

  /** Whether it was set back since it was looked at last. */
  lookAtClock(): void {
    if (this.clock.look(this.now())) this.options.observe?.clockSetBack?.(this.clock.behindMs, this.clock.latest);
  }
}

function makeLedger({ at, nodeId, key, log }: Prepared, queueMax: number | undefined): Ledger {
  const data = {
    storePath: at,
    privateJwk: key.privateKey.export({ format: "jwk" }),
    kid: key.kid,
    // One processor decides, another commits: with no third there is nobody to sign meanwhile.
    signAhead: !isShared(at) && availableParallelism() > 2,
    log,
  };
  return new Ledger(nodeId, data, { ...DEFAULT_LEDGER_LIMITS, ...(queueMax !== undefined && { queueMax }) });
}
