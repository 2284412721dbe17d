// The main thread's end of the threads that decide beside it: what they decided is recorded in the order in which it comes here, if it was decided by what decides now.
import type { MessagePort } from "node:worker_threads";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import type { Context } from "../../core/schema/input.ts";
import { StateClaims, claimsMemory, THREADS_MAX } from "../../evidence/ledger/claims.ts";
import type { Receipt } from "../../evidence/ledger/entry.ts";
import { BasisMovedError } from "../../evidence/ledger/basis.ts";
import type { Ledger } from "../../evidence/ledger/ledger.ts";
import type { LedgerTurn } from "../../evidence/ledger/turn.ts";
import type { Policies } from "../../policies/activate.ts";
import type { Slot } from "../../policies/slot.ts";
import type { ShadowedDecision } from "../../policies/shadow.ts";
import { isShared, type StoreAt } from "../../store/open.ts";
import { stateName } from "../../store/store.ts";
import type { TrustConfig } from "../../trust/trust.ts";
import type { FromThread, Handed, Settled, SlotCopy, ThreadBeginning, ToThread } from "./messages.ts";

/** Fewer would let one slow question hold up all others of a thread. */
const CONNECTIONS_MIN = 2;

export interface SeatsParts {
  readonly ledger: () => Ledger;
  readonly policies: () => Policies;
  readonly partition: () => Context["partition"];
  readonly trust: () => TrustConfig;
  readonly beginning: Omit<ThreadBeginning, "thread" | "claims" | "trust">;
  readonly shadowing: () => boolean;
  readonly shadowed: (decision: ShadowedDecision) => void;
}

/** A thread that was given a place. */
export interface SeatHandle {
  readonly beginning: ThreadBeginning;
  /** It decides no more. */
  leave(): void;
}

export class Seats {
  readonly memory = claimsMemory();
  readonly #parts: SeatsParts;
  readonly #seats = new Set<Seat>();
  #lastThread = 0;
  /** See {@link ToThread}. */
  #change = 0;
  #deciding = "";
  #resets = 0;
  /** What was told last, as text. */
  #pulse = "";

  constructor(parts: SeatsParts) {
    this.#parts = parts;
  }

  /**
   * Takes a thread in.
   * @param port to its DecidingThread. @param of how many they will be, which share what connections there may be.
   * @throws Error there were as many as can be told apart.
   */
  attach(port: MessagePort, of: number): SeatHandle {
    if (this.#lastThread >= THREADS_MAX) throw new Error("threads were started too often; restart the node");
    const thread = ++this.#lastThread;
    const { beginning, trust } = this.#parts;
    const seat = new Seat(thread, port, {
      ledger: this.#parts.ledger(),
      shadowed: this.#parts.shadowed,
      change: () => this.#change,
      resets: this.#resets,
      gone: () => {
        this.#seats.delete(seat);
        new StateClaims(this.memory, 0).freeAll(thread);
      },
    });
    this.#seats.add(seat);
    seat.say(this.#policies());
    seat.say(this.#pulseNow());
    return {
      beginning: { ...beginning, at: shareOf(beginning.at, of), thread, claims: this.memory, trust: trust() },
      leave: () => seat.leave(),
    };
  }

  /** Other policies may decide from now on: what threads have decided by those before is decided again. */
  policiesChanged(): void {
    const deciding = this.#parts
      .policies()
      .slots.all.map(({ name, policy }) => `${name} ${policy?.digest} ${policy?.settings?.digest}`)
      .join("\n");
    if (deciding === this.#deciding) return;
    this.#deciding = deciding;
    this.#change++;
    this.#tell(this.#policies());
    this.pulse();
  }

  /** Tells what may have changed meanwhile. */
  pulse(): void {
    const message = this.#pulseNow();
    const text = JSON.stringify(message);
    if (text !== this.#pulse) this.#tell(message);
    this.#pulse = text;
  }

  trustRenewed(): void {
    this.#tell({ kind: "trust", config: this.#parts.trust() });
  }

  /** What was not durable is lost. */
  reset(): void {
    this.#resets++;
    for (const seat of this.#seats) seat.reset();
  }

  #tell(message: ToThread): void {
    for (const seat of this.#seats) seat.say(message);
  }

  #policies(): ToThread {
    const policies = this.#parts.policies();
    const slots = policies.slots.all.map((slot) => copyOf(slot, policies));
    return { kind: "policies", change: this.#change, slots };
  }

  #pulseNow(): ToThread {
    const confirmed = this.#parts.policies().slots.all.map(({ confirmedAtMs }) => confirmedAtMs);
    return { kind: "pulse", partition: this.#parts.partition(), confirmed, shadowing: this.#parts.shadowing() };
  }
}

/** A share of its connections; the claim to the node's id is not for threads that only read. */
function shareOf(at: StoreAt, of: number): StoreAt {
  if (!isShared(at)) return at;
  return { ...at, poolMax: Math.max(CONNECTIONS_MIN, Math.floor(at.poolMax / of)), lease: undefined };
}

function copyOf({ name, policy, confirmedAtMs, terms }: Slot, policies: Policies): SlotCopy {
  if (policy === null) return { name, confirmedAtMs, policy };
  // Terms may be a source, with more in it.
  const { keys, keyId, scope, sizeLimitBytes } = policies.termsOf(policy) ?? terms;
  const { digest, bytes, settings } = policy;
  return {
    name,
    confirmedAtMs,
    policy: {
      digest,
      bytes,
      terms: { keys, keyId, scope, sizeLimitBytes },
      settings: settings && { digest: settings.digest, bytes: settings.bytes, keys: policies.settingsKeys },
    },
  };
}

interface SeatParts {
  readonly ledger: Ledger;
  readonly shadowed: (decision: ShadowedDecision) => void;
  readonly change: () => number;
  readonly resets: number;
  /** Nothing of it is on its way any more. */
  readonly gone: () => void;
}

class Seat {
  readonly #thread: number;
  readonly #port: MessagePort;
  readonly #parts: SeatParts;
  #outbox: Settled[] = [];
  #resets: number;
  /** Groups that it was told have moved; and those of them that the committer found, since it counts them anew after each reset. */
  #refused = 0;
  #moved = 0;
  /** Groups on their way to the disk. */
  #underWay = 0;
  /** That last. */
  readonly #turns = new Map<number, LedgerTurn>();
  #left = false;

  constructor(thread: number, port: MessagePort, parts: SeatParts) {
    this.#thread = thread;
    this.#port = port;
    this.#parts = parts;
    this.#resets = parts.resets;
    port.on("message", (message: FromThread) => this.#told(message));
  }

  say(message: ToThread): void {
    if (!this.#left) this.#port.postMessage(message);
  }

  reset(): void {
    this.#resets++;
    this.#moved = 0;
    this.say({ kind: "reset" });
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    for (const turn of this.#turns.keys()) this.#endTurn(turn);
    this.#port.close();
    this.#rest();
  }

  #told(message: FromThread): void {
    switch (message.kind) {
      case "append":
        return message.groups.forEach((group) => this.#take(group));
      case "shadowed":
        return message.decisions.forEach(this.#parts.shadowed);
      case "turn":
        return void this.#turn(message);
      case "turn ends":
        return this.#endTurn(message.turn);
    }
  }

  async #turn({ turn, places }: Extract<FromThread, { kind: "turn" }>): Promise<void> {
    try {
      const given = await this.#parts.ledger.turn(() => places);
      this.#turns.set(turn, given);
      if (this.#left) return this.#endTurn(turn);
      void given.ended.then(() => this.#turns.has(turn) && this.say({ kind: "turn over", turn }));
      // Behind what became of all that was handed over before.
      this.#flush();
      this.say({ kind: "turn", turn, found: places.map((place) => given.found.get(stateName(place))) });
    } catch (error) {
      this.say({ kind: "no turn", turn, problem: (error as Error).message });
    }
  }

  #endTurn(turn: number): void {
    this.#turns.get(turn)?.end();
    this.#turns.delete(turn);
  }

  #take(group: Handed): void {
    const { id, events, reads, stacked, law, refused, resets } = group;
    // What it stands on may be what is refused, or lost.
    const fallen = stacked && (refused !== this.#refused || resets !== this.#resets);
    if (fallen || law !== this.#parts.change()) return this.#refuse(id);
    let receipts: Promise<Receipt[]>;
    try {
      const turn = group.turn === undefined ? undefined : this.#turns.get(group.turn);
      receipts = (turn ?? this.#parts.ledger).relay({
        events,
        reads,
        stacked,
        origin: this.#thread,
        generation: this.#moved,
      });
    } catch (error) {
      if (error instanceof BasisMovedError) return this.#refuse(id);
      return this.#settle(problemOf(id, error));
    }
    this.#underWay++;
    receipts.then(
      (found) => this.#over({ id, receipts: found }),
      (error: unknown) => this.#lost(id, error),
    );
  }

  #lost(id: number, error: unknown): void {
    if (!(error instanceof BasisMovedError)) return this.#over(problemOf(id, error));
    this.#moved++;
    this.#underWay--;
    this.#refuse(id, error.moved);
    this.#rest();
  }

  /** @param moved which state has, where that is why. */
  #refuse(id: number, moved: readonly string[] = []): void {
    this.#refused++;
    this.#settle({ id, moved });
  }

  #over(settled: Settled): void {
    this.#underWay--;
    this.#settle(settled);
    this.#rest();
  }

  /** What became of several is told together. */
  #settle(settled: Settled): void {
    if (this.#outbox.length === 0) setImmediate(() => this.#flush());
    this.#outbox.push(settled);
  }

  #flush(): void {
    const settled = this.#outbox;
    this.#outbox = [];
    if (settled.length > 0) this.say({ kind: "settled", settled });
  }

  #rest(): void {
    if (this.#left && this.#underWay === 0) this.#parts.gone();
  }
}

function problemOf(id: number, error: unknown): Settled {
  const { message } = error as Error;
  const maybeRecorded = error instanceof EvidenceUnavailableError ? error.eventId : undefined;
  return { id, problem: message, maybeRecorded };
}
