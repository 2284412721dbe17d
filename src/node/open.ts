// A node: how it is opened and closed, and what it can be asked, over its parts.
import { resolve } from "node:path";
import type { MessagePort } from "node:worker_threads";
import type { EventType } from "../core/event-types.ts";
import type { KeptBundle, ProvenanceAnswer } from "../core/schema/provenance.ts";
import { BundleError } from "../core/errors.ts";
import type { IssuedChallenge } from "../core/schema/challenge.ts";
import type { SignedBytes } from "../evidence/verify/primitives.ts";
import type { Rotated, RotateOptions } from "../evidence/keys/event-key.ts";
import { publicKeys, type PublicKeys } from "../evidence/keys/jwks.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import type { ActedBy } from "../evidence/ledger/recorder.ts";
import type { TransparencyLog } from "../evidence/log/log.ts";
import type { Witness } from "../evidence/log/witness.ts";
import type { Forwarding } from "../evidence/upstream/forwarder.ts";
import type { Intake } from "../evidence/upstream/intake.ts";
import type { Gate } from "../gate/gate.ts";
import type { RemoteService } from "../outbound/service.ts";
import type { Policies } from "../policies/activate.ts";
import type { Registry } from "../policies/registry.ts";
import { bundleStatus, type BundleStatus } from "../policies/status.ts";
import { isPolled } from "../policies/source.ts";
import type { Policy } from "../policy/policy.ts";
import { DataDirLock, type LockHolder } from "../store/lock.ts";
import { openReader } from "../store/open.ts";
import { letGo } from "../store/shared.ts";
import type { StoreReader } from "../store/store.ts";
import { bundleStore } from "../trust/provenance/store.ts";
import { makeTrust, type TrustConfig } from "../trust/trust.ts";
import { inBackground } from "./background.ts";
import { readBefore } from "./before.ts";
import { issueChallenge } from "./challenges.ts";
import { eraseArtifact } from "./erasure.ts";
import { bundlesKept, submitBundle, type ProvenanceParts } from "./provenance.ts";
import { VERSION, type NodeOptions } from "./options.ts";
import type { Partition } from "./partition.ts";
import { NO_TRUST_CONFIG, NodeParts } from "./parts.ts";
import { prepare, type Prepared } from "./prepare.ts";
import type { Service } from "./services.ts";
import type { SeatHandle } from "./threads/seats.ts";
import type { NodeReports, ReportFigures } from "./reporting.ts";
import type { Subscriber } from "./subscribers.ts";

export type { BundleSource } from "../policies/source.ts";
export { DEFAULT_BUNDLE, type NodeObserver, type NodeOptions } from "./options.ts";

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
  /** Servers of others that bundles come from and reports go to. */
  readonly remotes: ReadonlyMap<string, RemoteService>;
  /** What operators do with policies. */
  readonly registry: Registry;
  readonly #parts: NodeParts;
  readonly #lock: DataDirLock;
  readonly #services: readonly Service[];
  readonly #beforeClose: (() => Promise<void>)[] = [];
  #closed: Promise<void> | undefined;

  private constructor(parts: NodeParts, lock: DataDirLock) {
    this.#parts = parts;
    this.#lock = lock;
    this.gate = parts.gate;
    this.nodeId = parts.nodeId;
    this.newId = parts.newId;
    this.store = parts.store;
    this.log = parts.log;
    this.witness = parts.witness;
    this.intake = parts.intake;
    this.partition = parts.partition;
    this.logOrigin = parts.logOrigin;
    this.remotes = parts.remotes;
    this.registry = parts.registry;
    this.#services = inBackground(parts);
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
      const parts = new NodeParts(options, store, trust, prepared, await readBefore(store, prepared.nodeId));
      node = new RailgateNode(parts, lock);
      await parts.start(prepared);
      for (const service of node.#services) await service.start();
      return node;
    } catch (error) {
      if (node) await node.#parts.ledger.close();
      await store?.close();
      await letGo(prepared?.at);
      lock.release();
      throw error;
    }
  }

  /** The policies that decide, and which of them answers what. */
  get policies(): Pick<Policies, "find" | "bundles" | "onChange" | "offer"> {
    return this.#parts.policies;
  }

  /** How each bundle is doing. */
  bundleStatuses(): BundleStatus[] {
    const nowMs = this.#parts.now();
    return this.#parts.policies.slots.all.map((slot) => bundleStatus(slot, nowMs));
  }

  get policy(): Policy | null {
    return this.#parts.policy;
  }

  /** What keeps this node from admitting anything; undefined when it is ready. */
  get problem(): string | undefined {
    if (this.#parts.policies.problem !== undefined) return `policy: ${this.#parts.policies.problem}`;
    const { failure = this.store.problem } = this.#parts.ledger;
    return failure === undefined ? undefined : `evidence: ${failure}`;
  }

  /** By how much the clock is behind what it said before, in milliseconds; 0 where it is not. */
  get clockBehindMs(): number {
    return this.#parts.clock.behindMs;
  }

  /** Decisions linked and not yet durable. */
  get waiting(): number {
    return this.#parts.ledger.waiting;
  }

  /** What is counted of a database that others share; undefined for any other. */
  get sharing(): NodeParts["ledger"]["sharing"] {
    return this.#parts.ledger.sharing;
  }

  /** Processor time of the thread that commits. */
  get committingMs(): number {
    return this.#parts.ledger.committingMs;
  }

  /** Public keys, current and retired, with which this node's records verify. */
  async jwks(): Promise<PublicKeys> {
    return publicKeys(await this.store.keys());
  }

  /** Signs with the event key what no record can be: canonical JSON begins with a brace, a record's signing input never does. */
  sign(canonicalJson: SignedBytes): Promise<{ readonly kid: string; readonly signature: Uint8Array }> {
    return this.#parts.eventKey.sign(canonicalJson);
  }

  /** Signs what DSSE encodes, of statements for other tools. */
  signDsse(preAuthEncoding: Uint8Array): { readonly kid: string; readonly signature: Uint8Array } {
    return this.#parts.eventKey.signDsse(preAuthEncoding);
  }

  /**
   * Signs with a new event key from now on. The last event that the old one signs in each stream is the rotation, which names
   * the new one; events, retirement and new key are one commit. The old private key is gone afterwards.
   * @throws KeyError the new key is not there, or keys come from where none can be made.
   * @throws EvidenceUnavailableError EVI-01: nothing changed.
   */
  rotateKey(options: RotateOptions = {}): Promise<Rotated> {
    return this.#parts.eventKey.rotate(options);
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
    const parts = {
      ledger: this.#parts.ledger,
      recorder: this.#parts.recorder,
      store: this.store,
      nodeId: this.nodeId,
    };
    return eraseArtifact(parts, eventId, basis, { tenantId, actor });
  }

  /** @throws ChallengesExhaustedError, EvidenceUnavailableError none was issued. */
  challenge(tenantId: string, workloadId: string): Promise<IssuedChallenge> {
    return issueChallenge(this.#parts.ledger, this.#parts.now(), tenantId, workloadId);
  }

  /**
   * Records what was done with a tenant's evidence, in that tenant's stream on this node.
   * @throws EvidenceUnavailableError EVI-01: it must not be done then.
   */
  async record(type: EventType, tenantId: string, actor: string, details: { [name: string]: unknown }): Promise<void> {
    await this.#parts.recorder.record(type, details, { tenantId, actor });
  }

  /**
   * An operator says that this node is cut off from now on: nothing is sent upstream, and the law is told.
   * @throws EvidenceUnavailableError EVI-01: nothing changed.
   */
  async isolate(reason: string, actor: string): Promise<void> {
    await this.#recordAct({ act: "partition", reason }, actor);
    this.#parts.upstreaming.isolate(true);
    this.#parts.reporting.isolate(true);
    await this.partition.isolate(reason);
  }

  /** Takes that back; the partition ends once all has arrived upstream. @throws EvidenceUnavailableError EVI-01: nothing changed. */
  async rejoin(actor: string): Promise<void> {
    await this.#recordAct({ act: "rejoin" }, actor);
    this.#parts.upstreaming.isolate(false);
    await this.partition.rejoin();
    this.#parts.reporting.isolate(false);
  }

  /** How records go upstream; undefined where there is none. */
  forwarding(): Promise<Forwarding | undefined> {
    return this.#parts.upstreaming.status();
  }

  /** How reports go; undefined where nothing is reported. */
  get reports(): ReportFigures | undefined {
    return this.#parts.reporting.figures;
  }

  /** See {@link NodeReports.plugins}. */
  get plugins(): NodeReports["plugins"] {
    return this.#parts.reporting.plugins;
  }

  #recordAct(act: { readonly act: string; readonly reason?: string }, actor: string): Promise<void> {
    const details = { node_id: this.nodeId, version: VERSION, ...act };
    return this.#parts.recorder.record("node.start", details, { tenantId: "default", actor });
  }

  /**
   * Lets another thread of this process decide, too.
   * @param port the other end of it goes to that thread's DecidingThread, with what is returned.
   * @param of how many threads will: they share the connections to a database that others share.
   * @throws Error the node was not opened for it.
   */
  attach(port: MessagePort, of = 1): SeatHandle {
    if (!this.#parts.seats) throw new Error("the node was opened for one thread");
    return this.#parts.seats.attach(port, of);
  }

  /** Calls back in commit order with what became durable. @returns a function that ends it. */
  subscribe(subscriber: Subscriber): () => void {
    return this.#parts.subscribers.add(subscriber);
  }

  /** From now on these keys are pinned, and no others. @throws ConfigError nothing changed. */
  renewTrust(config: TrustConfig): Promise<void> {
    return this.#parts.renewTrust(config);
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
    const { provenance } = this.#parts.trust;
    return { provenance, recorder: this.#parts.recorder, store: this.store, now: this.#parts.now };
  }

  /**
   * Offers what a bundle's source has now: it decides from now on, on record, or what decides stays, and the refusal is on record.
   * @throws BundleError it was not taken. @throws EvidenceUnavailableError nothing changed.
   */
  async offerBundle(name: string): Promise<void> {
    const source = this.#parts.options.bundles?.find((each) => each.name === name);
    if (!source || isPolled(source)) throw new BundleError("source", `no bundle ${name} comes from a file`);
    const offered = await this.#parts.policies.offer(name, source.bytes);
    if (offered.outcome === "rejected") throw offered.error;
  }

  /** Tells whoever finds the data directory locked where this node can be asked. */
  listening(at: Pick<LockHolder, "url" | "socket">): void {
    this.#lock.listening(at);
  }

  get dataDir(): string {
    return this.#parts.options.dataDir;
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
    await this.#parts.close();
    this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
