// The gate, as the protocol reads: needs → decide → commit if nothing moved → answer. Every governed command goes through `run`.
import type { Caller } from "../core/caller.ts";
import { EvidenceUnavailableError } from "../core/errors.ts";
import { eventIdIn } from "../core/event.ts";
import { explain } from "../core/outcome.ts";
import type { DryRun } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import type { Need } from "../core/state.ts";
import type { Entry, Receipt } from "../evidence/ledger/entry.ts";
import { BasisMovedError } from "../evidence/ledger/basis.ts";
import { ClaimLateError } from "../evidence/ledger/claims.ts";
import { Draft, type StateSource } from "../evidence/ledger/draft.ts";
import { policyAgeS } from "../policies/age.ts";
import type { StateRead } from "../store/store.ts";
import { admission } from "./commands/admission.ts";
import { NO_TOKENS, type AnyCommand, type Command, type Decided, type Tokens, type Trace } from "./commands/command.ts";
import { besideOf } from "./companions.ts";
import { loadAll, entryOf, needsAtFirst } from "./entries.ts";
import { enact, judge, situationOf, type Enacted, type Judged } from "./decider.ts";
import { count, timed } from "./observing.ts";
import type { GateParts } from "./parts.ts";
import { Pauses } from "./pauses.ts";
import { Retries, type Remember, type Retry, type Told } from "./retries.ts";
import { RunTurns, type RunTurn } from "./turns.ts";

export type { Trace } from "./commands/command.ts";

/** Who calls, and what ties the call to the caller's own records. */
export interface Call {
  readonly caller: Caller;
  readonly trace?: Trace | undefined;
  /** It may come again. */
  readonly retry?: Retry | undefined;
  /** Told what came of each command in turn: whether the rest shall not be decided any more. */
  readonly enough?: ((outcome: unknown) => boolean) | undefined;
}

/** What came of a command, and the proof that it was decided: its event, signed and durable. */
export class Evidenced<O = unknown> {
  readonly outcome: O;
  /** The record: a compact JWS that any JOSE library verifies. */
  readonly receipt: string;
  readonly position: number;
  /** The event's canonical bytes, as text. */
  readonly eventText: string;

  constructor({ outcome, receipt }: Told<O>) {
    this.outcome = outcome;
    this.receipt = receipt.record;
    this.eventText = receipt.eventText;
    this.position = receipt.position;
  }

  get eventId(): string {
    return eventIdIn(this.eventText);
  }

  get event(): EvidenceEvent {
    return JSON.parse(this.eventText) as EvidenceEvent;
  }
}

/** How often a run is decided anew where what it was decided on has moved. */
const ATTEMPTS_MAX = 8;

/** A run, decided and handed over to be recorded; its receipts come when it is durable. */
interface Linked {
  readonly enacted: readonly Enacted[];
  /** Of each command its place among them; what follows from one stands behind it. */
  readonly places: readonly number[];
  /** undefined: what it was decided on had moved when its turn came, and nothing of it is recorded. */
  readonly receipts: Promise<readonly Receipt[] | undefined>;
}

/** What a run is decided on. */
interface Ground {
  readonly draft: Draft;
  /** Its draft is that. */
  readonly turn: RunTurn | undefined;
  /** Lets others in between where it takes long. */
  readonly pauses: Pauses | undefined;
}

export class Gate {
  protected readonly parts: GateParts;
  readonly #source: StateSource;
  readonly #retries: Retries;
  /** Absent: nobody else changes what is decided on. */
  readonly #turns: RunTurns | undefined;

  constructor(parts: GateParts) {
    this.parts = parts;
    this.#source = parts.source ?? parts.states;
    const { store, ledger, queueMax, observe } = parts;
    this.#turns = store.shared ? new RunTurns(store, (places) => ledger.turn(places), queueMax, observe) : undefined;
    this.#retries = new Retries(parts.store, parts.now, () => this.#source.hold?.());
  }

  /**
   * Decides commands in order, each seeing what the ones before it changed, in one commit.
   * @returns when all of it is signed and durable; of each command that was decided what came of it, accepted or refused.
   * @throws RevisionError a mesh has moved on; nothing was decided.
   * @throws KeyReusedError the retry's key was another request's; nothing was decided.
   * @throws EvidenceUnavailableError EVI-01: it could not be made durable, and nothing changed.
   */
  async run<O>(commands: readonly AnyCommand<O>[], call: Call): Promise<Evidenced<O>[]> {
    const [first] = commands;
    if (!first) return [];
    if (!call.retry) return (await this.#carryOut(commands, call)).map((told) => new Evidenced(told));
    const tenants = commands.map(({ tenantId }) => tenantId) as [string, ...string[]];
    const told = await this.#retries.once<O>(tenants, call.retry, (remember) =>
      this.#carryOut(commands, call, remember),
    );
    return told.map((each) => new Evidenced(each));
  }

  /** What would be decided now. Nothing is recorded, so nothing is admitted. */
  async dryRun(request: AdmissionRequest, caller: Caller): Promise<DryRun> {
    const { decision, catalogue, problem } = await this.try(admission(request, caller), caller);
    return { ...explain(decision, catalogue), ...(problem !== undefined && { problem }) };
  }

  /** As `dryRun`, of any command. */
  async try<I, D extends Decided>(command: Command<I, D>, caller: Caller): Promise<Judged<I, D>> {
    const tokens = await this.#prove(command);
    const draft = new Draft(this.#source);
    await loadAll(command, draft, tokens);
    return this.#judge(command, draft, caller, tokens);
  }

  async #carryOut<O>(commands: readonly AnyCommand<O>[], call: Call, remember?: Remember): Promise<Told<O>[]> {
    const tokens = await Promise.all(commands.map((command) => this.#prove(command)));
    // What is claimed once stays so if it is decided again, so that nothing is waited for then, and nobody of this thread comes between.
    const holding = this.#source.hold?.();
    let lost: Draft | undefined;
    try {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        // The last attempt lets nobody in between, so it cannot be overtaken.
        const pauses = attempt < ATTEMPTS_MAX - 1 ? new Pauses() : undefined;
        const turn = this.#turns && (await this.#turnFor(this.#turns, commands, tokens, lost, remember));
        const draft = turn?.draft ?? new Draft(this.#source, holding);
        const linked = await this.#attempt(commands, tokens, call, { draft, turn, pauses }, remember);
        const receipts = await linked?.receipts;
        if (linked && receipts) return this.#told<O>(commands, linked, receipts);
        if (!linked && !turn) continue;
        // Nobody who waits for a turn keeps others from anything.
        holding?.release();
        lost = draft;
      }
    } finally {
      holding?.release();
    }
    throw new EvidenceUnavailableError("what was to be decided on changed again and again");
  }

  /** @param lost what it was decided on in vain. @returns undefined where it can be decided at once, as far as is known. */
  #turnFor(
    turns: RunTurns,
    commands: readonly AnyCommand[],
    tokens: readonly Tokens[],
    lost: Draft | undefined,
    remember: Remember | undefined,
  ): Promise<RunTurn> | undefined {
    const needs = (): Need[] => needsAtFirst(commands, tokens);
    if (lost === undefined && !turns.areWanted(needs)) return undefined;
    const basis = remember?.basis ?? [];
    return turns.take({ needs: [...needs(), ...(lost?.needs ?? [])], basis, commands: commands.length });
  }

  #told<O>(commands: readonly AnyCommand<O>[], { places, enacted }: Linked, receipts: readonly Receipt[]): Told<O>[] {
    return places.map((place, i) => {
      count(commands[i]!, enacted[place]!, this.parts.observe);
      this.parts.decided?.(enacted[place]!, commands[i]!);
      return { outcome: enacted[place]!.outcome as O, receipt: receipts[place]! };
    });
  }

  #prove({ prove }: AnyCommand): Promise<Tokens> | Tokens {
    return prove ? prove(this.parts.trust, this.parts.now()) : NO_TOKENS;
  }

  /**
   * Decides everything, and commits if nothing moved meanwhile. Where all that is needed is at hand, and soon decided,
   * nothing is awaited between reading and handing over, so nothing of this thread can.
   * @returns undefined where something moved; nothing was handed over then.
   */
  async #attempt(
    commands: readonly AnyCommand[],
    tokens: readonly Tokens[],
    call: Call,
    ground: Ground,
    remember?: Remember,
  ): Promise<Linked | undefined> {
    try {
      const changing = this.parts.changing?.();
      if (changing !== undefined) await changing;
      return await this.#decideAll(commands, tokens, call, ground, remember);
    } catch (error) {
      if (!(error instanceof ClaimLateError)) throw error;
      ground.draft.release();
      return undefined;
    } finally {
      ground.turn?.done();
    }
  }

  async #decideAll(
    commands: readonly AnyCommand[],
    tokens: readonly Tokens[],
    { caller, trace, enough }: Call,
    { draft, turn, pauses }: Ground,
    remember?: Remember,
  ): Promise<Linked | undefined> {
    const law = this.parts.law?.();
    const [enacted, entries, places]: [Enacted[], Entry[], number[]] = [[], [], []];
    for (const [i, command] of commands.entries()) {
      const pause = pauses?.next();
      if (pause !== undefined) await pause;
      places.push(enacted.length);
      const following: { command: AnyCommand; tokens: Tokens; place?: number }[] = [
        { command, tokens: tokens[i]!, place: i },
      ];
      for (const next of following) {
        for (let waiting = loadAll(next.command, draft, next.tokens); waiting !== undefined; ) {
          await waiting;
          // What changed meanwhile may need more.
          waiting = enacted.length === 0 && draft.renew() ? loadAll(next.command, draft, next.tokens) : undefined;
        }
        if (turn?.isOver) return undefined;
        const made = this.#decide(next.command, draft, caller, next.tokens, trace);
        const kept = next.place === undefined ? [] : (remember?.(next.place, made.outcome, made.event.id) ?? []);
        enacted.push(made);
        entries.push(entryOf(next.command, made, [...draft.set(made.changes), ...kept]));
        for (const beside of besideOf(made, this.parts)) {
          enacted.push(beside);
          entries.push(entryOf(next.command, beside, []));
        }
        for (const each of made.follow ?? []) following.push({ command: each, tokens: NO_TOKENS });
      }
      if (enough?.(enacted[places.at(-1)!]!.outcome)) break;
    }
    // What is decided by one law is not recorded behind the event with which another one decides.
    if (draft.moved || turn?.isOver || law !== this.parts.law?.()) return undefined;
    const reads = [...draft.reads, ...(remember?.basis ?? [])];
    const receipts = turn ? turn.append(entries, reads, law) : this.#append(entries, draft, reads, law);
    for (const { judged, event } of enacted)
      if (judged.problem !== undefined) this.parts.observe.policyFailed?.(judged.problem, event.id);
    return { enacted, places, receipts };
  }

  /** Handed over at once, see `Linked`. */
  #append(
    entries: readonly Entry[],
    draft: Draft,
    reads: readonly StateRead[],
    law: number | undefined,
  ): Linked["receipts"] {
    const { ledger, states } = this.parts;
    const appended = ledger.append(entries, { reads, stacked: draft.ticket > ledger.committed, law });
    const ticket = ledger.appended;
    states.apply(draft, ticket);
    return appended.catch((error: unknown) => {
      if (!(error instanceof BasisMovedError)) throw error;
      this.#turns?.moved(error.moved);
      states.retract(draft, ticket);
      return undefined;
    });
  }

  #decide(command: AnyCommand, draft: Draft, caller: Caller, tokens: Tokens, trace: Trace | undefined): Enacted {
    const { newId, evidenceProfileId } = this.parts;
    const judged = this.#judge(command, draft, caller, tokens);
    const stamp = { eventId: newId(), correlationId: command.correlationId ?? newId(), evidenceProfileId };
    return enact(command, draft, judged, stamp, trace);
  }

  #judge<I, D extends { readonly outcome: "accepted" | "refused" }>(
    command: Command<I, D>,
    draft: Draft,
    caller: Caller,
    tokens: Tokens,
  ) {
    const { active: law, answering = law } = this.parts;
    const active = command.ask ? answering(command.entrypoint) : law();
    const { policy } = active;
    const nowMs = this.parts.now();
    const surroundings = { nowMs, partition: this.parts.partition(), policyAgeS: policyAgeS(active, nowMs) };
    return judge(
      command,
      draft,
      situationOf(caller, tokens, surroundings, policy),
      policy && timed(policy, this.parts.observe),
    );
  }
}
