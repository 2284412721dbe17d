// A node: the parts of Railgate put together over one data directory. Whatever a part does, it does elsewhere.
import { resolve } from "node:path";
import type { MessagePort } from "node:worker_threads";
import { eventTextOf } from "../core/event.ts";
import type { EventType } from "../core/event-types.ts";
import type { Context } from "../core/schema/input.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { KeptBundle, ProvenanceAnswer } from "../core/schema/provenance.ts";
import { BundleError } from "../core/errors.ts";
import type { IssuedChallenge } from "../core/schema/challenge.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import type { SignedBytes } from "../evidence/verify/primitives.ts";
import { EventKey, type Rotated, type RotateOptions } from "../evidence/keys/event-key.ts";
import { publicKeys, type PublicKeys } from "../evidence/keys/jwks.ts";
import { makeIds } from "../evidence/ledger/ids.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import { DEFAULT_LEDGER_LIMITS, Ledger } from "../evidence/ledger/ledger.ts";
import { Recorder, type ActedBy } from "../evidence/ledger/recorder.ts";
import { StateClaims } from "../evidence/ledger/claims.ts";
import { StateView } from "../evidence/ledger/state.ts";
import { TransparencyLog } from "../evidence/log/log.ts";
import type { Witness } from "../evidence/log/witness.ts";
import type { Forwarding } from "../evidence/upstream/forwarder.ts";
import { Intake } from "../evidence/upstream/intake.ts";
import { hasOthers, ownIds } from "../evidence/upstream/own.ts";
import { Gate } from "../gate/gate.ts";
import type { RemoteService } from "../outbound/service.ts";
import type { Policies } from "../policies/activate.ts";
import type { Registry } from "../policies/registry.ts";
import { bundleStatus, type BundleStatus } from "../policies/status.ts";
import type { Shadows } from "../policies/shadow.ts";
import type { SettingsSource } from "../policies/choose.ts";
import { isPolled } from "../policies/source.ts";
import type { Policy } from "../policy/policy.ts";
import { DataDirLock, type LockHolder } from "../store/lock.ts";
import { openReader, placeOf, type StoreAt } from "../store/open.ts";
import { letGo } from "../store/shared.ts";
import type { StoreReader } from "../store/store.ts";
import { bundleStore } from "../trust/provenance/store.ts";
import { makeTrust, type Trust, type TrustConfig } from "../trust/trust.ts";
import { bundleServices, remoteServices } from "./bundle-services.ts";
import { forgetting, issueChallenge } from "./challenges.ts";
import { ClockWatch } from "./clock.ts";
import { deadlines } from "./deadlines.ts";
import { eraseArtifact } from "./erasure.ts";
import { bundlesKept, submitBundle, type ProvenanceParts } from "./provenance.ts";
import { DEFAULT_BUNDLE, VERSION, type NodeOptions } from "./options.ts";
import { Partition, PARTITION_TIMES, type PartitionMemory } from "./partition.ts";
import { partitionBefore, recordPartition } from "./partition-record.ts";
import { makePolicies, shadowedDecision } from "./policies.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { renewable } from "./renewable.ts";
import { logsIn } from "./restore.ts";
import { retention } from "./retention.ts";
import { every, type Service } from "./services.ts";
import { sharing, type Logs } from "./sharing.ts";
import { Seats, type SeatHandle } from "./threads/seats.ts";
import { checkSettingsSource, settingsSource } from "./settings.ts";
import { superseding } from "./superseding.ts";
import { NodeReports, type ReportFigures } from "./reporting.ts";
import { Upstreaming } from "./upstreaming.ts";
import { Subscribers, type Subscriber } from "./subscribers.ts";
import { makeWitness } from "./witnessing.ts";

export type { BundleSource } from "../policies/source.ts";
export { DEFAULT_BUNDLE, type NodeObserver, type NodeOptions } from "./options.ts";

/** How soon a clock that was set back is noticed. */
const CLOCK_LOOKED_AT_MS = 1000;

const NO_TRUST_CONFIG: TrustConfig = { authorities: [], attesters: [] };

/** How soon threads beside this one hear of what changes of itself. */
const THREADS_TOLD_MS = 100;

/** Its own last event is looked for among so many of all nodes. */
const OWN_EVENT_AMONG = 100;

export class RailgateNode implements AsyncDisposable {
  readonly gate: Gate;
  readonly nodeId: string;
  /** A UUID, version 7. */
  readonly newId: () => string;
  /** Committed evidence and state. */
  readonly store: StoreReader;
  /** The streams as transparency logs. */
  readonly log: TransparencyLog;
  /** Of the logs that the options name. */
  readonly witness: Witness | undefined;
  /** Takes the records of other nodes. */
  readonly intake: Intake;
  /** Whether it is cut off; whoever hears from others reports to it. */
  readonly partition: Partition;
  /** Names this node's logs, and so who vouches for its evidence. */
  readonly logOrigin: string;
  readonly #eventKey: EventKey;
  readonly #recorder: Recorder;
  readonly #lock: DataDirLock;
  readonly #ledger: Ledger;
  readonly #options: NodeOptions;
  readonly #at: StoreAt;
  #trust: Trust;
  #trustConfig: TrustConfig;
  readonly #subscribers = new Subscribers();
  /** Threads that decide beside this one. */
  readonly #seats: Seats | undefined;
  /** Servers of others that bundles come from and reports go to. */
  readonly remotes: ReadonlyMap<string, RemoteService>;
  readonly #policies: Policies;
  readonly #shadows: Shadows;
  /** What operators do with policies. */
  readonly registry: Registry;
  readonly #upstreaming: Upstreaming;
  readonly #reporting: NodeReports;
  readonly #clock: ClockWatch;
  /** Of other nodes in the same store as well. */
  #logs: Logs;
  readonly #services: readonly Service[];
  readonly #beforeClose: (() => Promise<void>)[] = [];
  #closed: Promise<void> | undefined;

  private constructor(
    options: NodeOptions,
    lock: DataDirLock,
    store: StoreReader,
    trust: Trust,
    { at, nodeId, key, log, witnessKey }: Prepared,
    before: Before,
  ) {
    this.#options = options;
    this.#at = at;
    this.#trust = trust;
    this.#trustConfig = options.trust ?? NO_TRUST_CONFIG;
    this.#lock = lock;
    this.store = store;
    this.nodeId = nodeId;
    this.logOrigin = log.origin;
    const observe = options.observe ?? {};
    this.#clock = new ClockWatch(this.#now(), before.lastEventMs);
    this.#seats = options.threads ? this.#takesThreads() : undefined;
    const states = new StateView(store, this.#seats && new StateClaims(this.#seats.memory, 0));
    this.#ledger = new Ledger(
      nodeId,
      {
        storePath: at,
        place: placeOf(at),
        privateJwk: key.privateKey.export({ format: "jwk" }),
        kid: key.kid,
        log,
      },
      { ...DEFAULT_LEDGER_LIMITS, ...(options.queueMax !== undefined && { queueMax: options.queueMax }) },
    );
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
      recorder: () => this.#recorder,
      rejected: (problem) => {
        observe.policyRejected?.(problem);
        this.#reporting.changed();
      },
      shadowing: () => this.#seats?.pulse(),
      now: this.#now,
    });
    this.#policies = policies;
    this.#shadows = shadows;
    policies.onChange(() => this.#seats?.policiesChanged());
    this.registry = registry;
    this.#recorder = new Recorder({
      ledger: this.#ledger,
      evidenceProfileId: this.#evidenceProfileId,
      now: this.#now,
      newId,
      activePolicy: () => this.policy,
    });
    this.#eventKey = new EventKey(
      {
        dataDir: options.dataDir,
        nodeId,
        source: options.eventKey,
        store,
        ledger: this.#ledger,
        recorder: this.#recorder,
        now: this.#now,
      },
      key,
    );
    this.#logs = before.logs;
    this.log = new TransparencyLog({
      reader: store.log,
      logs: () => this.#logs,
      checkpoint: () => this.#ledger.checkpoint(),
    });
    this.witness = makeWitness({ options, nodeId, key: witnessKey, recorder: this.#recorder, now: this.#now });
    this.intake = this.#takesRecords(before);
    this.#upstreaming = this.#sendsRecords(before);
    this.partition = this.#watchesPartition(before);
    this.#reporting = this.#reports(before);
    this.gate = new Gate({
      ledger: this.#ledger,
      states,
      store,
      trust: pinned,
      active: () => this.#policies.active,
      answering: (path) => this.#policies.find(path) ?? this.#policies.active,
      partition: () => this.#partitionNow(),
      evidenceProfileId: this.#evidenceProfileId,
      now: this.#now,
      newId,
      observe,
      decided: (enacted, command) => this.#decided(enacted, command),
    });
    this.#services = this.#inBackground();
  }

  /**
   * Opens a data directory, making it where there is none; loads the policy; records that the node started. A policy
   * that cannot be used does not stop it: everything is then refused with POL-01, and evidenced.
   * @throws StoreLockedError another process holds the directory.
   * @throws ConfigError the settings to be laid over the policy's are none.
   * @throws KeyError a private key is not the one that the node signs with.
   * @throws LogRolledBackError the database is behind the checkpoints that were signed, or another one.
   * @throws CheckpointsMissingError nobody can tell whether it is, see `afterRestore`.
   * @throws EvidenceUnavailableError the directory cannot be written.
   */
  static async open(given: NodeOptions): Promise<RailgateNode> {
    const options = { ...given, dataDir: resolve(given.dataDir) };
    const now = options.now ?? Date.now;
    const lock = DataDirLock.acquire(options.dataDir, new Date(now()).toISOString());
    let store: StoreReader | undefined;
    let node: RailgateNode | undefined;
    let prepared: Prepared | undefined;
    try {
      prepared = await prepare(options, now());
      store = await openReader(prepared.at);
      const trust = await makeTrust(options.trust ?? NO_TRUST_CONFIG, bundleStore(store));
      node = new RailgateNode(options, lock, store, trust, prepared, await readBefore(store, prepared.nodeId));
      await node.#start(prepared);
      for (const service of node.#services) await service.start();
      return node;
    } catch (error) {
      if (node) await node.#ledger.close();
      await store?.close();
      await letGo(prepared?.at);
      lock.release();
      throw error;
    }
  }

  /** The policies that decide, and which of them answers what. */
  get policies(): Pick<Policies, "find" | "bundles" | "onChange" | "offer"> {
    return this.#policies;
  }

  /** How each bundle is doing. */
  bundleStatuses(): BundleStatus[] {
    const nowMs = this.#now();
    return this.#policies.slots.all.map((slot) => bundleStatus(slot, nowMs));
  }

  get policy(): Policy | null {
    return this.#policies.active.policy;
  }

  /** What keeps this node from admitting anything; undefined when it is ready. */
  get problem(): string | undefined {
    if (this.#policies.problem !== undefined) return `policy: ${this.#policies.problem}`;
    return this.#ledger.failure === undefined ? undefined : `evidence: ${this.#ledger.failure}`;
  }

  /** By how much the clock is behind what it said before, in milliseconds; 0 where it is not. */
  get clockBehindMs(): number {
    return this.#clock.behindMs;
  }

  /** Decisions linked and not yet durable. */
  get waiting(): number {
    return this.#ledger.waiting;
  }

  /** Processor time of the thread that commits. */
  get committingMs(): number {
    return this.#ledger.committingMs;
  }

  /** Public keys, current and retired, with which this node's records verify. */
  async jwks(): Promise<PublicKeys> {
    return publicKeys(await this.store.keys());
  }

  /** Signs with the event key what no record can be: canonical JSON begins with a brace, a record's signing input never does. */
  sign(canonicalJson: SignedBytes): Promise<{ readonly kid: string; readonly signature: Uint8Array }> {
    return this.#eventKey.sign(canonicalJson);
  }

  /** Signs what DSSE encodes, of statements for other tools. */
  signDsse(preAuthEncoding: Uint8Array): { readonly kid: string; readonly signature: Uint8Array } {
    return this.#eventKey.signDsse(preAuthEncoding);
  }

  /**
   * Signs with a new event key from now on. The last event that the old one signs in each stream is the rotation, which names
   * the new one; events, retirement and new key are one commit. The old private key is gone afterwards.
   * @throws KeyError the new key is not there, or keys come from where none can be made.
   * @throws EvidenceUnavailableError EVI-01: nothing changed.
   */
  rotateKey(options: RotateOptions = {}): Promise<Rotated> {
    return this.#eventKey.rotate(options);
  }

  /**
   * Erases the artifact of an event, its input and decision, for good, and records on what basis. The event, its
   * signature, the chain and every proof stand; the decision can no longer be replayed.
   * @returns the record of the erasure.
   * @param basis why, e.g. "GDPR Art. 17, request 4711"; it becomes part of the evidence, so it names no person.
   * @throws NotFoundError `artifact_unknown`: no such event of the tenant, or nothing of its own is left to erase.
   * @throws EvidenceUnavailableError EVI-01: nothing was erased.
   */
  eraseArtifact(eventId: string, tenantId: string, basis: string, actor: string): Promise<Receipt> {
    const parts = { ledger: this.#ledger, recorder: this.#recorder, store: this.store, nodeId: this.nodeId };
    return eraseArtifact(parts, eventId, basis, { tenantId, actor });
  }

  /** @throws ChallengesExhaustedError, EvidenceUnavailableError none was issued. */
  challenge(tenantId: string, workloadId: string): Promise<IssuedChallenge> {
    return issueChallenge(this.#ledger, this.#now(), tenantId, workloadId);
  }

  /**
   * Records what was done with a tenant's evidence, in that tenant's stream on this node.
   * @throws EvidenceUnavailableError EVI-01: it must not be done then.
   */
  async record(type: EventType, tenantId: string, actor: string, details: { [name: string]: unknown }): Promise<void> {
    await this.#recorder.record(type, details, { tenantId, actor });
  }

  /**
   * An operator says that this node is cut off from now on: nothing is sent upstream, and the law is told.
   * @throws EvidenceUnavailableError EVI-01: nothing changed.
   */
  async isolate(reason: string, actor: string): Promise<void> {
    await this.#recordAct({ act: "partition", reason }, actor);
    this.#upstreaming.isolate(true);
    this.#reporting.isolate(true);
    await this.partition.isolate(reason);
  }

  /** Takes that back; the partition ends once all has arrived upstream. @throws EvidenceUnavailableError EVI-01: nothing changed. */
  async rejoin(actor: string): Promise<void> {
    await this.#recordAct({ act: "rejoin" }, actor);
    this.#upstreaming.isolate(false);
    await this.partition.rejoin();
    this.#reporting.isolate(false);
  }

  /** How records go upstream; undefined where there is none. */
  forwarding(): Promise<Forwarding | undefined> {
    return this.#upstreaming.status();
  }

  /** How reports go; undefined where nothing is reported. */
  get reports(): ReportFigures | undefined {
    return this.#reporting.figures;
  }

  /** See {@link NodeReports.plugins}. */
  get plugins(): NodeReports["plugins"] {
    return this.#reporting.plugins;
  }

  #recordAct(act: { readonly act: string; readonly reason?: string }, actor: string): Promise<void> {
    const details = { node_id: this.nodeId, version: VERSION, ...act };
    return this.#recorder.record("node.start", details, { tenantId: "default", actor });
  }

  /**
   * Lets another thread of this process decide, too.
   * @param port the other end of it goes to that thread's DecidingThread, with what is returned.
   * @throws Error the node was not opened for it.
   */
  attach(port: MessagePort): SeatHandle {
    if (!this.#seats) throw new Error("the node was opened for one thread");
    return this.#seats.attach(port);
  }

  /** Calls back in commit order with what became durable. @returns a function that ends it. */
  subscribe(subscriber: Subscriber): () => void {
    return this.#subscribers.add(subscriber);
  }

  /** From now on these keys are pinned, and no others. @throws ConfigError nothing changed. */
  async renewTrust(config: TrustConfig): Promise<void> {
    const before = this.#trust;
    this.#trust = await makeTrust(config, bundleStore(this.store));
    this.#trustConfig = config;
    this.#seats?.trustRenewed();
    await before.close();
  }

  /** See `submitBundle`. */
  submitBundle(bundle: object, by: ActedBy): Promise<ProvenanceAnswer> {
    return submitBundle(this.#provenanceParts, bundle, by);
  }

  /** See `bundlesKept`. */
  bundlesKept(subject: string): Promise<KeptBundle[]> {
    return bundlesKept(this.#provenanceParts, subject);
  }

  get #provenanceParts(): ProvenanceParts {
    const { provenance } = this.#trust;
    return { provenance, recorder: this.#recorder, store: this.store, now: this.#now };
  }

  /**
   * Offers what a bundle's source has now: it decides from now on, on record, or what decides stays, and the refusal is on record.
   * @throws BundleError it was not taken. @throws EvidenceUnavailableError nothing changed.
   */
  async offerBundle(name: string): Promise<void> {
    const source = this.#options.bundles?.find((each) => each.name === name);
    if (!source || isPolled(source)) throw new BundleError("source", `no bundle ${name} comes from a file`);
    const offered = await this.#policies.offer(name, source.bytes);
    if (offered.outcome === "rejected") throw offered.error;
  }

  /** Tells whoever finds the data directory locked where this node can be asked. */
  listening(at: Pick<LockHolder, "url" | "socket">): void {
    this.#lock.listening(at);
  }

  get dataDir(): string {
    return this.#options.dataDir;
  }

  /** Does this before it lets go of anything: whoever asks it for others stops. */
  beforeClose(work: () => Promise<void>): void {
    this.#beforeClose.push(work);
  }

  /** Waits for what was decided to become durable, then lets go of the data directory. Closing it again does nothing more. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await Promise.all(this.#beforeClose.map((work) => work()));
    await Promise.all(this.#services.map((service) => service.stop()));
    await this.intake.close();
    for (const remote of this.remotes.values()) remote.close();
    await this.#policies.close();
    await this.#shadows.settled();
    await this.#ledger.close();
    await this.#trust.close();
    await this.store.close();
    await letGo(this.#at);
    this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #now = (): number => (this.#options.now ?? Date.now)();

  get #evidenceProfileId(): string {
    return this.#options.evidenceProfileId ?? DEFAULTS.evidenceProfile;
  }

  async #start({ key, restored }: Prepared): Promise<void> {
    const { bundle = DEFAULT_BUNDLE, bundles = [], settings } = this.#options;
    if (this.#settings) await checkSettingsSource(this.#settings, "railgate.settings", settings);
    const shipped = bundles.length === 0 && bundle === DEFAULT_BUNDLE;
    await this.#policies.open(bundles.length > 0 ? bundles : [bundle], shipped);
    this.#lookAtClock();
    const { behindMs, latest } = this.#clock;
    // The first event under a new id says why it has one.
    const isNew = (await this.store.log.stream(`default/${this.nodeId}`)) === undefined;
    await this.#recorder.record("node.start", {
      node_id: this.nodeId,
      version: VERSION,
      kid: key.kid,
      ...(behindMs > 0 && { clock: { behind_s: Math.round(behindMs / 1000), latest } }),
      ...(restored && isNew && { act: "restore", reason: restored.reason, restored_from: restored.from }),
    });
    await this.#policies.record();
    await this.registry.resume();
  }

  #watchLedger(states: StateView): void {
    const observe = this.#options.observe ?? {};
    this.#ledger.onCommit = (events, figures) => {
      states.trim(this.#ledger.committed);
      observe.committed?.(figures);
      this.#upstreaming.grown();
      this.#reporting.grown(events.at(-1)!.position);
      this.#subscribers.tell(events);
    };
    this.#ledger.onReset = () => {
      states.reset();
      this.#seats?.reset();
      this.#policies.reset();
      observe.evidenceFailed?.(this.#ledger.failure ?? "unknown");
    };
    this.#ledger.onCheckpointFailure = (message) => observe.checkpointFailed?.(message);
  }

  get #settings(): SettingsSource | undefined {
    const { settings, settingsKeys, bundle = DEFAULT_BUNDLE } = this.#options;
    return settingsSource(settings, settingsKeys ?? bundle.keys);
  }

  #watchesPartition(before: Before): Partition {
    return new Partition({
      times: { ...PARTITION_TIMES, ...this.#options.partitionTimes },
      before: before.partition,
      record: async (change) => {
        this.#upstreaming.changed(change);
        this.#seats?.pulse();
        await recordPartition(this.#recorder, change, this);
      },
      reconciled: () => this.#upstreaming.reconciled(),
      now: this.#now,
    });
  }

  #takesThreads(): Seats {
    const { dataDir, evaluationMsMax } = this.#options;
    return new Seats({
      ledger: () => this.#ledger,
      policies: () => this.#policies,
      partition: () => this.#partitionNow(),
      trust: () => this.#trustConfig,
      beginning: { dataDir, nodeId: this.nodeId, evidenceProfileId: this.#evidenceProfileId, evaluationMsMax },
      shadowing: () => this.#shadows.active,
      shadowed: (decision) => this.#shadows.decided(decision),
    });
  }

  /** Asks the policy that decides beside the active one, where there is one. */
  #decided(...decided: Parameters<typeof shadowedDecision>): void {
    const decision = this.#shadows.active ? shadowedDecision(...decided) : undefined;
    if (decision) this.#shadows.decided(decision);
  }

  #partitionNow(): Context["partition"] {
    return this.#options.partition?.() ?? this.partition.context();
  }

  #supersedes(): Service {
    return superseding({
      intake: this.intake,
      gate: this.gate,
      others: () => hasOthers(this.store),
      decides: () => this.policy !== null,
      failed: (message) => this.#options.observe?.evidenceFailed?.(message),
    });
  }

  #sendsRecords(before: Before): Upstreaming {
    return new Upstreaming({
      upstream: this.#options.upstream,
      dataDir: this.#options.dataDir,
      storePath: this.#at,
      nodeId: this.nodeId,
      ownIds: before.ownIds,
      store: this.store,
      gate: () => this.gate,
      partition: () => this.partition,
      checkpoint: () => this.#ledger.checkpoint(),
    });
  }

  #reports(before: Before): NodeReports {
    return new NodeReports({
      options: this.#options,
      nodeId: this.nodeId,
      storePath: this.#at,
      ownIds: before.ownIds,
      store: this.store,
      remotes: this.remotes,
      policies: this.#policies,
      isolated: () => this.partition.isolated,
    });
  }

  #takesRecords(before: Before): Intake {
    return new Intake({
      dataDir: this.#options.dataDir,
      storePath: this.#at,
      nodeId: this.nodeId,
      ownIds: before.ownIds,
      nodes: this.#options.downstream ?? [],
      store: this.store,
      ledger: this.#ledger,
      recorder: this.#recorder,
      witnessName: this.#options.witness?.name ?? `railgate.local/${this.nodeId}/witness`,
      now: this.#now,
      taken: (events) => {
        this.#subscribers.tell(events);
        this.#upstreaming.grown();
        this.#reporting.grown(events.at(-1)!.position);
      },
    });
  }

  #inBackground(): Service[] {
    const options = this.#options;
    const [now, failed] = [this.#now, (message: string) => options.observe?.evidenceFailed?.(message)];
    const kept = {
      ledger: this.#ledger,
      recorder: this.#recorder,
      store: this.store,
      nodeId: this.nodeId,
      now,
      failed,
    };
    return [
      every(CLOCK_LOOKED_AT_MS, () => this.#lookAtClock()),
      ...(this.#seats ? [every(THREADS_TOLD_MS, () => this.#seats?.pulse())] : []),
      this.partition.service(),
      ...sharing({
        store: this.store,
        policies: this.#policies,
        subscribers: this.#subscribers,
        logs: (logs) => {
          this.#logs = logs;
        },
        failed,
      }),
      this.#upstreaming.service(),
      this.#reporting.service(),
      this.#supersedes(),
      ...bundleServices(options, this.remotes, {
        policies: this.#policies,
        partition: this.partition,
        failed: () => this.#reporting.changed(),
        now,
      }),
      ...(options.retention ? [retention(options.retention, kept)] : []),
      forgetting(this.#ledger, this.store, now, failed),
      deadlines({ gate: this.gate, store: this.store, decides: () => this.policy !== null, now, failed }),
    ];
  }

  #lookAtClock(): void {
    if (this.#clock.look(this.#now())) this.#options.observe?.clockSetBack?.(this.#clock.behindMs, this.#clock.latest);
  }
}

/** What a node left in its store when it last ran. */
interface Before {
  readonly lastEventMs: number | undefined;
  readonly logs: Awaited<ReturnType<typeof logsIn>>;
  readonly ownIds: readonly string[];
  readonly partition: PartitionMemory | undefined;
}

async function readBefore(store: StoreReader, nodeId: string): Promise<Before> {
  return {
    lastEventMs: await lastEventMs(store, nodeId),
    logs: await logsIn(store),
    ownIds: await ownIds(store),
    partition: await partitionBefore(store),
  };
}

/** When this node last recorded an event, by its own word; other nodes have clocks of their own. */
async function lastEventMs(store: StoreReader, nodeId: string): Promise<number | undefined> {
  const events = await store.events({ order: "desc", limit: OWN_EVENT_AMONG });
  const own = await store.events({ chain_id: `default/${nodeId}`, order: "desc", limit: 1 });
  const times = [...events, ...own]
    .map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent)
    .filter(({ chain_id, tenant_id }) => chain_id === `${tenant_id}/${nodeId}`)
    .map(({ occurred_at }) => Date.parse(occurred_at));
  return times[0];
}
