// What a governed command is to the pipeline: how its facts are gathered, its answer recognised, its effect folded.
import type { Caller } from "../../core/caller.ts";
import type { EventDraft } from "../../core/event.ts";
import { NO_TRUST, type TrustFacts } from "../../core/facts.ts";
import type { Catalogue, HostRefusalCode } from "../../core/outcome.ts";
import type { RefusalClass } from "../../core/schema/decision.ts";
import type { EventType } from "../../core/schema/event.ts";
import type { Context } from "../../core/schema/input.ts";
import type { StateView } from "../../evidence/ledger/state.ts";
import type { Blob, StateWrite } from "../../store/store.ts";
import { authoritySnapshot, type Trust } from "../../trust/trust.ts";

/** What ties a command to the caller's own records. */
export interface Trace {
  readonly requestId?: string | undefined;
  /** W3C trace id, or an identifier the caller chose. */
  readonly traceId?: string | undefined;
}

/** What the tokens of a command prove, and the keys that proved it. */
export interface Tokens {
  readonly facts: TrustFacts;
  readonly snapshot: Blob;
}

export const NO_TOKENS: Tokens = { facts: NO_TRUST, snapshot: authoritySnapshot([]) };

/** What a command is decided in: one reading of clock, state and surroundings. */
export interface Situation {
  readonly nowMs: number;
  readonly caller: Caller;
  readonly tokens: Tokens;
  readonly context: Context;
}

/** The one refusal of a command that has one. */
export interface SingleRefusal {
  readonly outcome: "accepted" | "refused";
  readonly error_code: string | null;
  readonly class: RefusalClass | null;
  readonly pointer: string | null;
  readonly params: { readonly [name: string]: unknown };
}

/** What the event of a refused command says of it. */
export function refusalOf({ outcome, error_code, class: refusalClass, pointer }: SingleRefusal): Statement["refusal"] {
  return outcome === "refused" ? { class: refusalClass!, code: error_code!, pointer: pointer! } : undefined;
}

/** What the event of a decision says. */
export interface Statement {
  readonly event_type: EventType;
  /** Default: the decision's. `failed`: nobody was refused, but something that had to happen did not. */
  readonly outcome?: "failed" | undefined;
  readonly subject: string;
  readonly refusal?: { readonly class: RefusalClass; readonly code: string; readonly pointer: string } | undefined;
  readonly details: object;
}

/**
 * One command of one kind. All that depends on state is called in order, without a pause, so every command sees what the
 * one before it changed.
 * @typeParam I the input document of its entrypoint.
 * @typeParam D what the law answers.
 */
export interface Command<I, D extends { readonly outcome: "accepted" | "refused" }> {
  /** Of the law, e.g. `railgate/admission/decision`. */
  readonly entrypoint: string;
  /** Whose stream records it. */
  readonly tenantId: string;
  readonly workloadId: string | null;
  readonly correlationId: string | undefined;
  /** Facts that take time to establish: who signed its tokens. */
  verify(trust: Trust, nowMs: number): Promise<Tokens>;
  /** The rest of the facts, and the request. */
  input(states: StateView, situation: Situation): I;
  /** The law's answer, or why it is none (POL-03). */
  recognise(output: unknown, catalogue: Catalogue): { readonly decision: D } | { readonly problem: string };
  /** The host's refusal in the law's place. */
  failClosed(code: HostRefusalCode): D;
  statement(input: I, decision: D, states: StateView, situation: Situation): Statement;
  /**
   * The effect of the event on state.
   * @param ticket counts the event among those appended, see `StateView.set`.
   * @throws InvariantError the decision would break an invariant.
   */
  fold(states: StateView, draft: EventDraft, ticket: number): StateWrite[];
  /** Commands that follow from it, decided and committed with it. */
  followUps?(states: StateView, decision: D): Command<unknown, { readonly outcome: "accepted" | "refused" }>[];
}
