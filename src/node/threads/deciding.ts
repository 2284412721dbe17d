// A thread that decides beside the main one: a gate of its own over a reader of its own. What it decides the main thread's ledger records.
import type { MessagePort } from "node:worker_threads";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { StateClaims } from "../../evidence/ledger/claims.ts";
import { makeIds } from "../../evidence/ledger/ids.ts";
import { StateView } from "../../evidence/ledger/state.ts";
import { Gate } from "../../gate/gate.ts";
import type { Context } from "../../core/schema/input.ts";
import { evaluationLimits } from "../../policies/limits.ts";
import type { Policy } from "../../policy/policy.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { bundleStore } from "../../trust/provenance/store.ts";
import { makeTrust, type Trust, type TrustConfig } from "../../trust/trust.ts";
import type { NodeObserver } from "../options.ts";
import { shadowedDecision } from "../policies.ts";
import { renewable } from "../renewable.ts";
import type { FromThread, ThreadBeginning, ToThread } from "./messages.ts";
import { PolicyCopies } from "./policies.ts";
import { LedgerRelay } from "./relay.ts";

export interface DecidingParts {
  readonly beginning: ThreadBeginning;
  /** To the main thread's {@link Seats}. */
  readonly port: MessagePort;
  readonly observe: NodeObserver;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** It cannot decide as the main thread does, and must not decide any more. */
  readonly failed: (error: Error) => void;
}

const CONNECTED: Context["partition"] = { state: "connected", since: null };

export class DecidingThread {
  readonly gate: Gate;
  readonly nodeId: string;
  readonly newId = makeIds();
  /** Committed evidence and state. */
  readonly store: StoreReader;
  readonly policies: PolicyCopies;
  readonly #relay: LedgerRelay;
  readonly #states: StateView;
  readonly #port: MessagePort;
  readonly #failed: (error: Error) => void;
  #trust: Trust;
  #partition = CONNECTED;
  #shadowing = false;
  readonly #begun = Promise.withResolvers<void>();

  private constructor({ beginning, port, observe, now, failed }: DecidingParts, store: StoreReader, trust: Trust) {
    const { nodeId, evidenceProfileId, evaluationMsMax, queueMax, claims, thread } = beginning;
    this.nodeId = nodeId;
    this.store = store;
    this.#trust = trust;
    this.#port = port;
    this.#failed = failed;
    this.policies = new PolicyCopies(evaluationLimits(evaluationMsMax), failed);
    this.#relay = new LedgerRelay(nodeId, (message) => this.#say(message));
    this.#states = new StateView(store, new StateClaims(claims, thread));
    this.gate = new Gate({
      ledger: this.#relay,
      states: this.#states,
      store,
      trust: renewable(() => this.#trust),
      active: () => this.policies.active,
      answering: (path) => this.policies.find(path) ?? this.policies.active,
      changing: () => this.policies.changing,
      law: () => this.policies.change,
      partition: () => this.#partition,
      evidenceProfileId,
      queueMax,
      now,
      newId: this.newId,
      observe,
      decided: (enacted, command) => {
        const decision = this.#shadowing ? shadowedDecision(enacted, command) : undefined;
        if (decision) this.#say({ kind: "shadowed", decisions: [decision] });
      },
    });
    port.on("message", (message: ToThread) => this.#told(message));
  }

  /** @returns when it knows what decides. */
  static async open(parts: DecidingParts): Promise<DecidingThread> {
    const store = await openReader(parts.beginning.at);
    const thread = new DecidingThread(parts, store, await makeTrust(parts.beginning.trust, bundleStore(store)));
    await thread.#begun.promise;
    await thread.policies.changing;
    return thread;
  }

  get policy(): Policy | null {
    return this.policies.active.policy;
  }

  #told(message: ToThread): void {
    switch (message.kind) {
      case "policies":
        this.policies.told(message.change, message.slots);
        return this.#begun.resolve();
      case "pulse":
        this.#partition = message.partition;
        this.#shadowing = message.shadowing;
        return this.policies.confirmed(message.confirmed);
      case "trust":
        return void this.#renewTrust(message.config).catch(this.#failed);
      case "settled":
        this.#relay.settled(message.settled);
        return this.#states.trim(this.#relay.committed);
      case "turn":
        return this.#relay.given(message.turn, message.found);
      case "no turn":
        return this.#relay.given(message.turn, new EvidenceUnavailableError(message.problem));
      case "turn over":
        return this.#relay.turnOver(message.turn);
      case "reset":
        this.#relay.reset();
        return this.#states.reset();
    }
  }

  async #renewTrust(config: TrustConfig): Promise<void> {
    const before = this.#trust;
    this.#trust = await makeTrust(config, bundleStore(this.store));
    await before.close();
  }

  #say(message: FromThread): void {
    this.#port.postMessage(message);
  }
}
