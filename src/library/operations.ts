// The node itself, for one caller: its keys, policies, partition and backups, and what doors ask of it.
import type { MessagePort } from "node:worker_threads";
import { actorOf, nodeSending, operatorActing, type Caller } from "../core/caller.ts";
import { throughJson } from "../core/json.ts";
import { parser } from "../core/request.ts";
import { ErasureSchema, RotationSchema, type Erasure, type Rotation } from "../core/schema/queries.ts";
import type { PolicyItem, ShadowFigures } from "../core/schema/policies.ts";
import { timeMs } from "../core/time.ts";
import { IsolationSchema, type Isolation, type NodeStatus } from "../core/schema/node.ts";
import type { ReplicationAnswer } from "../core/schema/replication.ts";
import type { Offer } from "../evidence/upstream/intake.ts";
import type { Witness } from "../evidence/log/witness.ts";
import { backUpApart } from "../node/backup/apart.ts";
import type { Backup } from "../node/backup/make.ts";
import type { RailgateNode } from "../node/open.ts";
import type { SeatHandle } from "../node/threads/seats.ts";
import { storeBytes } from "../store/open.ts";
import type { BundleStatus } from "../policies/status.ts";
import type { TrustConfig } from "../trust/trust.ts";
import { SHIPPED } from "./evaluations.ts";
import { proven, type WithProof } from "./handles.ts";
import { LocalReader } from "./reader.ts";
import type { ActedPolicy, ActivatedPolicy, ActivateOptions, RotatedKey, Status } from "./railgate.ts";
import type { NamespaceSource } from "./reviews.ts";
import { figuresOf, type NodeFigures, type SharingFigures } from "./figures.ts";

export interface LocalSettings {
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  /** What an export must hold where it says nothing. */
  readonly evidenceProfileId?: string | undefined;
  /** Files that exports bring along, by kind. */
  readonly artifacts?: { readonly [kind: string]: readonly string[] } | undefined;
  /** What a cluster's namespaces are known from, beside their reviews. */
  readonly namespaces?: NamespaceSource | undefined;
}

const parseRotation = parser(RotationSchema);
const parseIsolation = parser(IsolationSchema);
const parseErasure = parser(ErasureSchema);

export class LocalOperations extends LocalReader {
  readonly #node: RailgateNode;
  readonly #settings: LocalSettings;

  constructor(node: RailgateNode, settings: LocalSettings, caller: Caller) {
    const { now = Date.now } = settings;
    super({ store: node.store, log: node.log, now, subscribe: (listener) => node.subscribe(listener) }, caller);
    this.#node = node;
    this.#settings = settings;
  }

  async rotateKey(rotation: Rotation = {}): Promise<RotatedKey> {
    const { compromised_since, to } = parseRotation(throughJson(rotation));
    const actor = operatorActing(this.caller);
    const since = compromised_since === undefined ? undefined : new Date(timeMs(compromised_since)!).toISOString();
    return this.#node.rotateKey({ actor, to, compromisedSince: since });
  }

  async erase(eventId: string, erasure: Erasure): Promise<WithProof<object>> {
    const { basis, ...scope } = parseErasure(throughJson(erasure));
    const actor = operatorActing(this.caller);
    const { event } = await this.event(eventId, scope);
    const { eventText, record } = await this.#node.eraseArtifact(eventId, event.tenant_id, basis, actor);
    return proven({}, { eventText, receipt: record });
  }

  /**
   * Writes database and keys into one file, consistent and verified, while it goes on deciding. Operators only.
   * @param out a file that is not there yet. It will hold private keys.
   * @throws BackupError, BackupUnsoundError nothing is left of it.
   */
  async backup(out: string): Promise<Backup> {
    operatorActing(this.caller);
    const { dataDir, nodeId } = this.#node;
    return backUpApart({ dataDir, nodeId, out, nowMs: (this.#settings.now ?? Date.now)() });
  }

  /**
   * Takes records of another node, for a door: what it has sent is read and checked on another thread.
   * @throws RecordsRefusedError, RequestError, NodeNeededError, EvidenceUnavailableError
   */
  async replicate(chainId: string, sent: Pick<Offer, "bytes" | "encoding" | "bytesMax">): Promise<ReplicationAnswer> {
    const sender = nodeSending(this.caller);
    return this.#node.intake.take({ ...sent, chainId, sender, firstUse: this.caller.kind === "host" });
  }

  override async nodeStatus(): Promise<NodeStatus> {
    operatorActing(this.caller);
    const { nodeId: node_id, partition } = this.#node;
    const forwarding = await this.#node.forwarding();
    const { state, since, reasons } = partition.status;
    const upstream = forwarding ? { ...forwarding, refused: [...forwarding.refused] } : null;
    return { node_id, partition: { state, since, reasons: [...reasons] }, upstream };
  }

  async isolate(isolation: Isolation = {}): Promise<NodeStatus> {
    const { reason = "none given" } = parseIsolation(throughJson(isolation));
    await this.#node.isolate(reason, operatorActing(this.caller));
    return this.nodeStatus();
  }

  async rejoin(): Promise<NodeStatus> {
    await this.#node.rejoin(operatorActing(this.caller));
    return this.nodeStatus();
  }

  async policies(): Promise<PolicyItem[]> {
    operatorActing(this.caller);
    return this.#node.registry.list();
  }

  /** `created`, which no JSON shows: it was not there before. */
  async submitPolicy(bundle: Uint8Array): Promise<PolicyItem & { readonly created: boolean }> {
    const { policy, created } = await this.#node.registry.submit(bundle, operatorActing(this.caller));
    return Object.defineProperty({ ...policy }, "created", { value: created }) as PolicyItem & { created: boolean };
  }

  async activatePolicy(
    digest: string,
    { force }: ActivateOptions = {},
  ): Promise<WithProof<Pick<ActivatedPolicy, "policy" | "report">>> {
    const { policy, receipt, report } = await this.#node.registry.activate(digest, operatorActing(this.caller), force);
    return proven({ policy, report }, { eventText: receipt.eventText, receipt: receipt.record });
  }

  async shadowPolicy(
    digest: string,
    { stop }: { readonly stop?: boolean | undefined } = {},
  ): Promise<WithProof<Pick<ActedPolicy, "policy">>> {
    const { policy, receipt } = await this.#node.registry.shadow(digest, operatorActing(this.caller), stop);
    return proven({ policy }, { eventText: receipt.eventText, receipt: receipt.record });
  }

  async deprecatePolicy(digest: string): Promise<WithProof<Pick<ActedPolicy, "policy">>> {
    const { policy, receipt } = await this.#node.registry.deprecate(digest, operatorActing(this.caller));
    return proven({ policy }, { eventText: receipt.eventText, receipt: receipt.record });
  }

  async policyDifferences(digest: string): Promise<ShadowFigures> {
    operatorActing(this.caller);
    return this.#node.registry.differences(digest);
  }

  /** The bundle that decides under a name, as it came; the one that comes with Railgate, or a host's own, is `railgate`. */
  bundle(name: string): { readonly digest: string; readonly bytes: Uint8Array } | undefined {
    actorOf(this.caller);
    return this.#node.policies.bundles().find((bundle) => (bundle.name ?? SHIPPED) === name)?.policy;
  }

  /**
   * Lets another thread of this process decide, too: see `openDeciding`.
   * @param port its other end goes there. @param of how many threads will.
   */
  attach(port: MessagePort, of: number): SeatHandle {
    return this.#node.attach(port, of);
  }

  /** Calls back after each change of what decides. @returns a function that ends it. */
  onPolicyChange(listener: () => void): () => void {
    return this.#node.policies.onChange(listener);
  }

  /** How each bundle is doing: what decides, how old it is, and how asking its source goes. */
  bundleStatuses(): BundleStatus[] {
    return this.#node.bundleStatuses();
  }

  async status(): Promise<Status> {
    const { problem } = this;
    return { ready: problem === undefined, problem: problem ?? null };
  }

  /** Why nothing would be admitted now; undefined when ready. */
  get problem(): string | undefined {
    return this.#node.problem;
  }

  /** Records that have not arrived upstream yet; undefined where there is none. */
  async backlog(): Promise<number | undefined> {
    return (await this.#node.forwarding())?.backlog;
  }

  /** What the database takes on the disk, in bytes. */
  async storeBytes(): Promise<number> {
    return (await this.#node.store.bytes?.()) ?? storeBytes(this.#node.dataDir);
  }

  /** What OPA would call the states of its plugins, of those that report. */
  get plugins(): RailgateNode["plugins"] {
    return this.#node.plugins;
  }

  /** Of the logs that the options name. */
  get witness(): Witness | undefined {
    return this.#node.witness;
  }

  /** See RailgateNode. */
  renewTrust(config: TrustConfig): Promise<void> {
    return this.#node.renewTrust(config);
  }

  /** See RailgateNode. */
  offerBundle(name: string): Promise<void> {
    return this.#node.offerBundle(name);
  }

  /** Where its evidence, keys and state are. */
  get dataDir(): string {
    return this.#node.dataDir;
  }

  /** Does this before the node lets go of anything: whoever asks it for others stops. */
  beforeClose(work: () => Promise<void>): void {
    this.#node.beforeClose(work);
  }

  /** Tells whoever finds the data directory locked where this node can be asked. */
  listening(at: { readonly url?: string | undefined; readonly socket?: string | undefined }): void {
    this.#node.listening(at);
  }

  /** Waits for what was decided to become durable, then lets go of the data directory. */
  override async close(): Promise<void> {
    await this.#node.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** For reading, where there are any. */
  get connections(): SharingFigures["connections"] | undefined {
    return this.#node.store.connections;
  }

  /** What operators are told of the node, as it is now. */
  get figures(): NodeFigures {
    return figuresOf(this.#node);
  }
}
