// A node: the parts of Railgate put together over one data directory, and the events that are its own.
import { tenantCaller } from "../core/caller.ts";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { forgetOutcome } from "../gate/retries.ts";
import { NotFoundError, UndecidedError } from "../core/errors.ts";
import { digestOf, eventTextOf } from "../core/event.ts";
import { noteKey, SIGNATURE_TYPES } from "../core/note.ts";
import type { PolicyDecision } from "../core/schema/decision.ts";
import type { Context } from "../core/schema/input.ts";
import { COMPANION_TYPES, type CompanionType, type EventType, type EvidenceEvent } from "../core/schema/event.ts";
import { sha256 } from "../core/sha256.ts";
import { saysNothing } from "../core/text.ts";
import { EventKey, type Rotated, type RotateOptions } from "../evidence/keys/event-key.ts";
import { makeIds } from "../evidence/ledger/ids.ts";
import { publicKeys, type PublicKeys } from "../evidence/keys/jwks.ts";
import { DEFAULT_LEDGER_LIMITS, Ledger, type BatchFigures, type Receipt } from "../evidence/ledger/ledger.ts";
import type { KeySource } from "../evidence/keys/keys.ts";
import { DataDirLock } from "../store/lock.ts";
import { TransparencyLog } from "../evidence/log/log.ts";
import { ed25519Sign, rawPublicKey } from "../evidence/log/note-signing.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { ClockWatch } from "./clock.ts";
import { logsIn } from "./restore.ts";
import { Recorder } from "../evidence/ledger/recorder.ts";
import { StateView } from "../evidence/ledger/state.ts";
import { Witness, type Fork, type WitnessedLog } from "../evidence/log/witness.ts";
import { lifecycleCommand } from "../gate/commands/lifecycle.ts";
import { Gate, type ActivePolicy } from "../gate/gate.ts";
import { DEFAULT_LIMITS } from "../policy/evaluator.ts";
import { choosePolicy } from "../policies/choose.ts";
import type { BundleKeys, Policy } from "../policy/policy.ts";
import { openReader, placeOf } from "../store/open.ts";
import type { StoredEvent, StoreReader } from "../store/store.ts";
import { makeTrust, type Trust, type TrustConfig } from "../trust/trust.ts";

/** Where a bundle comes from, and whose signature makes it acceptable. */
export interface BundleSource {
  readonly bytes: () => Uint8Array;
  readonly keys: BundleKeys;
  readonly keyId?: string | undefined;
  readonly scope?: string | undefined;
}

/** What operators measure and are told; every member is optional. */
export interface NodeObserver {
  evaluated?(ms: number): void;
  decided?(decision: PolicyDecision): void;
  /** A lifecycle or mesh command, by the entrypoint that judged it; `code` null where it was accepted. */
  commanded?(law: string, code: string | null): void;
  /** The cause of a POL-01 or POL-03, which the caller is not told. */
  policyFailed?(problem: string, eventId: string): void;
  /** A bundle was offered and not taken: nothing is active, or what was active before stays. */
  policyRejected?(problem: string): void;
  committed?(figures: BatchFigures): void;
  /** Decisions were lost to a store that could not be written; their callers were told EVI-01. */
  evidenceFailed?(message: string): void;
  /** Checkpoints that were due could not be made; decisions go on, and it is tried again. */
  checkpointFailed?(message: string): void;
  /** The clock is behind the last event, or behind what it said before; what is recorded now bears its time all the same. */
  clockSetBack?(behindMs: number, latest: string): void;
}

export interface NodeOptions {
  readonly dataDir: string;
  /** Default: the prebuilt bundle that comes with Railgate. */
  readonly bundle?: BundleSource | undefined;
  /** Default: made at first start and kept. */
  readonly nodeId?: string | undefined;
  readonly trust?: TrustConfig | undefined;
  readonly evidenceProfileId?: string | undefined;
  /** Names this node's logs: the origin of a stream's is `<logOrigin>/<chain_id>`. Default: `railgate.local/<node id>`. */
  readonly logOrigin?: string | undefined;
  /** Default: the node makes its event key at first start, and keeps it in the data directory. */
  readonly eventKey?: KeySource | undefined;
  /** Where signed checkpoints are kept outside the database. Default: `checkpoints` in the data directory. */
  readonly checkpointDir?: string | undefined;
  /** Logs of others that this node cosigns; default: none. `name`: what it cosigns as, default `railgate.local/<node id>/witness`. */
  readonly witness?: { readonly name?: string | undefined; readonly logs: readonly WitnessedLog[] } | undefined;
  /** Longest evaluation, in milliseconds (POL-03). */
  readonly evaluationMsMax?: number | undefined;
  /** Events that may wait to be recorded. */
  readonly queueMax?: number | undefined;
  /** Whether this node is cut off from upstream; asked at each decision. Default: connected. */
  readonly partition?: (() => Context["partition"]) | undefined;
  /** Why the data directory is a restored copy: the node goes on under another id, with new keys, and its old streams are only read. */
  readonly afterRestore?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  readonly observe?: NodeObserver | undefined;
}

/** Keys and bundle that come with Railgate, beside `src/` and `dist/` alike. */
export const DEFAULT_BUNDLE: BundleSource = {
  bytes: () => readFileSync(new URL("../../bundles/railgate.tar.gz", import.meta.url)),
  get keys() {
    return JSON.parse(readFileSync(new URL("../../bundles/railgate.jwks.json", import.meta.url), "utf8")) as BundleKeys;
  },
};

export const VERSION = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;

/** How soon after it passed a missed re-attestation deadline is noticed. */
const DEADLINES_CHECKED_MS = 1000;
const DEADLINES_AT_ONCE = 100;
/** It becomes part of an event. */
const BASIS_CHARS_MAX = 1024;

const CONNECTED: Context["partition"] = { state: "connected", since: null };

export class RailgateNode implements AsyncDisposable {
  readonly gate: Gate;
  readonly nodeId: string;
  /** Committed evidence and state. */
  readonly store: StoreReader;
  /** The streams as transparency logs. */
  readonly log: TransparencyLog;
  /** Of the logs that the options name. */
  readonly witness: Witness | undefined;
  /** Names this node's logs, and so who vouches for its evidence. */
  readonly logOrigin: string;
  readonly #eventKey: EventKey;
  readonly #recorder: Recorder;
  readonly #lock: DataDirLock;
  readonly #ledger: Ledger;
  readonly #options: NodeOptions;
  readonly #listeners = new Set<(events: readonly StoredEvent[]) => void>();
  #active: ActivePolicy = { policy: null, confirmedAtMs: null };
  #policyProblem: string | undefined = "no policy was loaded yet";
  readonly #clock: ClockWatch;
  #deadlines: NodeJS.Timeout | undefined;
  #checkingDeadlines: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(
    options: NodeOptions,
    lock: DataDirLock,
    store: StoreReader,
    trust: Trust,
    { nodeId, key, log, witnessKey }: Prepared,
  ) {
    this.#options = options;
    this.#lock = lock;
    this.store = store;
    this.nodeId = nodeId;
    this.logOrigin = log.origin;
    const observe = options.observe ?? {};
    this.#clock = new ClockWatch(this.#now(), lastEventMs(store));
    const states = new StateView(store);
    this.#ledger = new Ledger(
      store,
      nodeId,
      {
        storePath: options.dataDir,
        place: placeOf(options.dataDir),
        privateJwk: key.privateKey.export({ format: "jwk" }),
        kid: key.kid,
        log,
      },
      { ...DEFAULT_LEDGER_LIMITS, ...(options.queueMax !== undefined && { queueMax: options.queueMax }) },
    );
    this.#ledger.onCommit = (events, figures) => {
      states.trim(this.#ledger.committed);
      observe.committed?.(figures);
      for (const listener of this.#listeners) listener(events);
    };
    this.#ledger.onReset = () => {
      states.reset();
      observe.evidenceFailed?.(this.#ledger.failure ?? "unknown");
    };
    this.#ledger.onCheckpointFailure = (message) => observe.checkpointFailed?.(message);
    const newId = makeIds();
    this.#recorder = new Recorder({
      ledger: this.#ledger,
      store,
      evidenceProfileId: this.#evidenceProfileId,
      now: this.#now,
      newId,
      activePolicy: () => this.#active.policy,
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
    this.log = new TransparencyLog({
      reader: store.log,
      logs: logsIn(store),
      checkpoint: () => this.#ledger.checkpoint(),
    });
    this.witness =
      options.witness &&
      witnessKey &&
      new Witness({
        dir: join(options.dataDir, "witness"),
        key: noteKey(
          sha256,
          options.witness.name ?? `railgate.local/${nodeId}/witness`,
          SIGNATURE_TYPES.cosignature,
          rawPublicKey(witnessKey),
        ),
        sign: ed25519Sign(witnessKey),
        logs: options.witness.logs,
        now: this.#now,
        onFork: (fork) => void this.#recordFork(fork),
      });
    this.gate = new Gate({
      ledger: this.#ledger,
      states,
      store,
      trust,
      active: () => this.#active,
      partition: options.partition ?? (() => CONNECTED),
      evidenceProfileId: this.#evidenceProfileId,
      now: this.#now,
      newId,
      observe: {
        evaluated: (ms) => observe.evaluated?.(ms),
        decided: (decision) => observe.decided?.(decision),
        commanded: (law, code) => observe.commanded?.(law, code),
        policyFailed: (problem, eventId) => observe.policyFailed?.(problem, eventId),
      },
    });
  }

  /**
   * Opens a data directory, making it where there is none; loads the policy; records that the node started. A policy
   * that cannot be used does not stop it: everything is then refused with POL-01, and evidenced.
   * @throws StoreLockedError another process holds the directory.
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
    try {
      const prepared = await prepare(options, now());
      store = openReader(options.dataDir);
      const trust = await makeTrust(options.trust ?? { authorities: [], attesters: [] });
      const node = new RailgateNode(options, lock, store, trust, prepared);
      await node.#start(prepared);
      node.#watchDeadlines();
      return node;
    } catch (error) {
      store?.close();
      lock.release();
      throw error;
    }
  }

  get policy(): Policy | null {
    return this.#active.policy;
  }

  /** What keeps this node from admitting anything; undefined when it is ready. */
  get problem(): string | undefined {
    if (this.#policyProblem !== undefined) return `policy: ${this.#policyProblem}`;
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

  /** Public keys, current and retired, with which this node's records verify. */
  jwks(): PublicKeys {
    return publicKeys(this.store.keys());
  }

  /** Signs with the event key what no record can be: canonical JSON begins with a brace, a record's signing input never does. */
  sign(canonicalJson: Uint8Array): { readonly kid: string; readonly signature: Uint8Array } {
    return this.#eventKey.sign(canonicalJson);
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
  async eraseArtifact(eventId: string, tenantId: string, basis: string, actor: string): Promise<Receipt> {
    const stored = this.store.event(eventId);
    const event = stored && (JSON.parse(eventTextOf(stored.record)) as EvidenceEvent);
    const chain = `${tenantId}/${this.nodeId}`;
    if (!event || event.chain_id !== chain || this.store.log.artifactAt(chain, event.sequence) === undefined) {
      throw new NotFoundError(
        "artifact_unknown",
        `the stream ${chain} has no event ${eventId} with an artifact of its own`,
      );
    }
    if (saysNothing(basis) || basis.length > BASIS_CHARS_MAX)
      throw new TypeError(`an erasure needs a basis, of ${BASIS_CHARS_MAX} characters at most`);
    const { id: ownerId, sequence } = this.#ownerOfArtifact(event);
    const details = {
      action: "artifact_erased",
      artifact_digest: stored!.artifact_digest,
      event_id: ownerId,
      sequence,
      basis,
    };
    const [receipt] = this.#ledger.append([
      {
        ...this.#recorder.entry("chain.anchor", details, { tenantId, actor }),
        erases: [sequence],
        states: forgetOutcome(this.store, tenantId, ownerId),
      },
    ]);
    return receipt!;
  }

  /** The event that an artifact lies with: the event itself, or the admission that it accompanies. */
  #ownerOfArtifact(event: EvidenceEvent): EvidenceEvent {
    const { chain_id, sequence, event_type, evidence_pointer } = event;
    if (!COMPANION_TYPES.includes(event_type as CompanionType)) return event;
    return this.store.log
      .records(chain_id, Math.max(0, sequence - COMPANION_TYPES.length), sequence + 1)
      .map((record) => JSON.parse(eventTextOf(record)) as EvidenceEvent)
      .find((before) => before.evidence_pointer === evidence_pointer)!;
  }

  /**
   * Records what was done with a tenant's evidence, in that tenant's stream on this node.
   * @throws EvidenceUnavailableError EVI-01: it must not be done then.
   */
  async record(type: EventType, tenantId: string, actor: string, details: { [name: string]: unknown }): Promise<void> {
    await this.#recorder.record(type, details, { tenantId, actor });
  }

  /** Calls back in commit order with what became durable. @returns a function that ends it. */
  subscribe(listener: (events: readonly StoredEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells whoever finds the data directory locked where this node can be asked. */
  listening(url: string): void {
    this.#lock.listening(url);
  }

  /** Waits for what was decided to become durable, then lets go of the data directory. Closing it again does nothing more. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    clearInterval(this.#deadlines);
    await this.#checkingDeadlines;
    await this.#ledger.close();
    this.store.close();
    this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #now = (): number => (this.#options.now ?? Date.now)();

  get #evidenceProfileId(): string {
    return this.#options.evidenceProfileId ?? "ecs-evidence-admissible";
  }

  async #start({ key, restored }: Prepared): Promise<void> {
    const { bytes, keys, keyId, scope } = this.#options.bundle ?? DEFAULT_BUNDLE;
    const limits = {
      ...DEFAULT_LIMITS,
      ...(this.#options.evaluationMsMax !== undefined && { evaluationMsMax: this.#options.evaluationMsMax }),
    };
    const options = { keys, limits, ...(keyId !== undefined && { keyId }), ...(scope !== undefined && { scope }) };
    const { policy, rejected } = await choosePolicy(bytes, options, this.#recorder.lastActivated(), (digest) =>
      this.store.artifact(digest),
    );
    this.#active = { policy, confirmedAtMs: null };
    this.#policyProblem = policy ? undefined : rejected?.message;
    this.#lookAtClock();
    const { behindMs, latest } = this.#clock;
    // The first event under a new id says why it has one.
    const isNew = this.store.log.stream(`default/${this.nodeId}`) === undefined;
    await this.#recorder.record("node.start", {
      node_id: this.nodeId,
      version: VERSION,
      kid: key.kid,
      ...(behindMs > 0 && { clock: { behind_s: Math.round(behindMs / 1000), latest } }),
      ...(restored && isNew && { act: "restore", reason: restored.reason, restored_from: restored.from }),
    });
    if (rejected) {
      await this.#recorder.recordRejection({ reason: rejected.reason, problem: rejected.message });
      this.#options.observe?.policyRejected?.(rejected.message);
    }
    if (policy) await this.#recorder.recordActivation(policy);
  }

  /** Another log was caught with two histories; where that is proven it goes on record, and the proof lies in the data directory. */
  async #recordFork({ origin, vkey, evidence, first, second }: Fork): Promise<void> {
    if (evidence === "unproven") return;
    try {
      await this.#recorder.record("node.equivocation", {
        origin,
        vkey,
        evidence,
        checkpoints: [digestOf(first), digestOf(second)],
      });
    } catch (error) {
      this.#options.observe?.evidenceFailed?.((error as Error).message);
    }
  }

  #lookAtClock(): void {
    if (this.#clock.look(this.#now())) this.#options.observe?.clockSetBack?.(this.#clock.behindMs, this.#clock.latest);
  }

  /** The node itself notices when a re-attestation is overdue, and puts it on record; from then on `start` is refused. */
  #watchDeadlines(): void {
    let running = false;
    this.#deadlines = setInterval(() => {
      this.#lookAtClock();
      if (running) return;
      running = true;
      this.#checkingDeadlines = this.#recordMissedDeadlines().finally(() => (running = false));
    }, DEADLINES_CHECKED_MS);
    this.#deadlines.unref();
  }

  async #recordMissedDeadlines(): Promise<void> {
    if (!this.#active.policy) return;
    try {
      const due = this.store.due("workload", this.#now() - 1, DEADLINES_AT_ONCE);
      await Promise.all(due.map(({ tenant_id, key }) => this.#recordMissedDeadline(tenant_id, key)));
    } catch (error) {
      // What could not be recorded is still due the next time.
      this.#options.observe?.evidenceFailed?.((error as Error).message);
    }
  }

  async #recordMissedDeadline(tenantId: string, workload_id: string): Promise<void> {
    const command = lifecycleCommand({ command: "deadline", workload_id }, tenantId);
    try {
      await this.gate.run([command], { caller: tenantCaller(tenantId, "node") });
    } catch (error) {
      if (!(error instanceof UndecidedError)) throw error;
    }
  }
}

/** When the last event was recorded, by its own word. */
function lastEventMs(store: StoreReader): number | undefined {
  const [last] = store.events({ order: "desc", limit: 1 });
  return last && Date.parse((JSON.parse(eventTextOf(last.record)) as EvidenceEvent).occurred_at);
}
