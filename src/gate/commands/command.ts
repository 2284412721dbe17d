// What a governed command is: a value that says which state it needs, what the law is asked, and what follows from the answer.
import type { TokenProof } from "../../core/attestation.ts";
import type { Caller } from "../../core/caller.ts";
import type { EventDraft } from "../../core/event.ts";
import { NO_TRUST, type TrustFacts } from "../../core/facts.ts";
import type { Catalogue, HostRefusalCode, Recognised } from "../../core/outcome.ts";
import type { EvaluationError } from "../../policy/evaluator.ts";
import type { Policy } from "../../policy/policy.ts";
import type { RefusalClass } from "../../core/schema/decision.ts";
import type { EventType } from "../../core/event-types.ts";
import type { Context } from "../../core/schema/input.ts";
import type { KubernetesSettings } from "../../core/kubernetes/settings.ts";
import type { Change, Need, Reads } from "../../core/state.ts";
import type { Blob, StateWrite } from "../../store/store.ts";
import { authoritySnapshot, type Trust } from "../../trust/trust.ts";

/** What ties a command to the caller's own records. */
export interface Trace {
  readonly requestId?: string | undefined;
  /** W3C trace id, or an identifier the caller chose. */
  readonly traceId?: string | undefined;
  /** The W3C header, as it came. */
  readonly traceparent?: string | undefined;
}

/** What the tokens of a command prove, and the keys that proved it. */
export interface Tokens {
  /** Its attestation is what that proves by itself: what it proves for a command, `proof` and the state say. */
  readonly facts: TrustFacts;
  readonly snapshot: Blob;
  /** Null where no attestation token was given. */
  readonly proof: TokenProof | null;
  /** What they were judged by lies with the evidence; and what is kept of it. */
  readonly blobs?: readonly Blob[];
  readonly states?: readonly StateWrite[];
}

export const NO_TOKENS: Tokens = { facts: NO_TRUST, snapshot: authoritySnapshot([]), proof: null };

/** What a command is decided in: one reading of clock and surroundings. */
export interface Situation {
  readonly nowMs: number;
  readonly caller: Caller;
  readonly tokens: Tokens;
  readonly context: Context;
  /** Digest of the settings that are laid over the law's own; null where there are none. */
  readonly settings: string | null;
  /** What the law's settings say of clusters. */
  readonly kubernetes: KubernetesSettings;
}

/** The law's answer. */
export interface Decided {
  readonly outcome: "accepted" | "refused";
}

/** The one refusal of a command that has one. */
export interface SingleRefusal extends Decided {
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
  readonly outcome?: "accepted" | "refused" | "failed" | undefined;
  readonly subject: string;
  readonly refusal?: { readonly class: RefusalClass; readonly code: string; readonly pointer: string } | undefined;
  readonly details: object;
}

/** As much of a policy as decides. */
export type Law = Pick<Policy, "digest" | "settings" | "catalogue" | "evaluateText" | "evaluateValue"> &
  Partial<Pick<Policy, "kubernetes">>;

/** What a decision is kept as. */
export interface Kept<D> {
  readonly decision: D;
  /** In canonical form. */
  readonly decisionText: string;
  /** The input document, as it was evaluated; undefined where there was none. */
  readonly inputText: string | undefined;
  /** Why the host answered in the law's place. */
  readonly problem: string | undefined;
}

/** A decision, with what it was made on. */
export interface Ruling<I, D> {
  readonly input: I;
  readonly decision: D;
  readonly catalogue: Catalogue;
  readonly tokens: Tokens;
}

/** What follows from an event. */
export interface Effect<O> {
  readonly changes: readonly Change[];
  /** What whoever asked is told, and told again; plain JSON. */
  readonly outcome: O;
  /** Commands that are decided and committed with it. */
  readonly follow?: readonly AnyCommand[];
}

/**
 * @typeParam I the input document of its entrypoint.
 * @typeParam D what the law answers.
 * @typeParam O what came of it, see {@link Effect}.
 */
export interface Command<I, D extends Decided, O = unknown> {
  /** Of the law, e.g. `railgate/admission/decision`. */
  readonly entrypoint: string;
  /** How the law is asked; default: for JSON. */
  readonly ask?: (law: Law, entrypoint: string, input: string | undefined) => unknown;
  /** Whose stream records it. */
  readonly tenantId: string;
  readonly workloadId: string | null;
  readonly correlationId: string | undefined;
  /** Facts that take time to establish: who signed its tokens. Absent: it has none. */
  readonly prove?: (trust: Trust, nowMs: number) => Promise<Tokens>;
  /** As far as it can be told from what was read; asked again until everything named is there. */
  readonly needs: (state: Reads, tokens: Tokens) => readonly Need[];
  /**
   * The version of the workload, mesh or namespace that its event is about, as it is decided on; 0 where there is none yet.
   * Absent: it is about none.
   */
  readonly revision?: (state: Reads) => number;
  /** What the law is asked; undefined: without an input. */
  readonly input: (state: Reads, situation: Situation) => I;
  /** The law's answer, or why it is none (POL-03). */
  readonly recognise: (output: unknown, catalogue: Catalogue) => Recognised<D>;
  /** The host's refusal in the law's place. @param error of the evaluation, where there was one. */
  readonly failClosed: (code: HostRefusalCode, error?: EvaluationError) => D;
  /** The artifact's text; default: decision, entrypoint, input and, where the host answered, its problem. */
  readonly artifact?: (kept: Kept<D>) => string;
  readonly says: (state: Reads, answer: Ruling<I, D>) => Statement;
  /** @throws InvariantError the decision would break an invariant. */
  readonly effect: (state: Reads, event: EventDraft, answer: Ruling<I, D>) => Effect<O>;
}

/** A command of any law: what its input and its answer are is its own business. */
// biome-ignore lint/suspicious/noExplicitAny: both stand in what it takes and in what it gives.
export type AnyCommand<O = unknown> = Command<any, any, O>;
