// The pipeline, as the protocol reads: parse (at the door) → facts → decide → step → link → sign → append → respond.
import { admission } from "./commands/admission.ts";
import {
  NO_TOKENS,
  type Command,
  type SingleRefusal,
  type Situation,
  type Tokens,
  type Trace,
} from "./commands/command.ts";
import { lifecycleCommand } from "./commands/lifecycle.ts";
import { meshCommand } from "./commands/mesh.ts";
import { actorOf, type Caller } from "../core/caller.ts";
import { briefPointer, mustFit } from "../core/brief.ts";
import { EMPTY_SET, digestOf, eventIdIn, type EventDraft } from "../core/event.ts";
import { InvariantError } from "../core/invariant.ts";
import { canonicalJson } from "../core/json.ts";
import type { Mesh, MeshCommand, MeshDecision } from "../core/mesh.ts";
import { explain, explainRefusal, type Catalogue, type Explanation, type HostRefusalCode } from "../core/outcome.ts";
import type { Decision, PolicyDecision } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Context } from "../core/schema/input.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import type { LifecycleCommand, LifecycleDecision, Workload } from "../core/workload.ts";
import type { Entry, Ledger, Receipt } from "../evidence/ledger/ledger.ts";
import type { StateView } from "../evidence/ledger/state.ts";
import type { StateWrite } from "../store/store.ts";
import { EvaluationError } from "../policy/evaluator.ts";
import type { Policy } from "../policy/policy.ts";
import type { Trust } from "../trust/trust.ts";

export type { Trace } from "./commands/command.ts";

/** Proof that a command was decided: its event, signed and durable. */
export class Evidenced {
  /** The record: a compact JWS that any JOSE library verifies. */
  readonly receipt: string;
  readonly position: number;
  /** The event's canonical bytes, as text. */
  readonly eventText: string;

  constructor(receipt: Receipt) {
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

/** An admission's decision, signed and durable. */
export class Admission extends Evidenced {
  readonly decision: Decision;

  constructor(decision: Decision, receipt: Receipt) {
    super(receipt);
    this.decision = decision;
  }

  /** The answer on the wire: `{decision, event, receipt}`. */
  toText(): string {
    return `{"decision":${JSON.stringify(this.decision)},"event":${this.eventText},"receipt":"${this.receipt}"}`;
  }
}

/** A lifecycle or mesh command's decision, signed and durable; refused commands are explained. */
export class CommandAnswer<D extends { readonly outcome: "accepted" | "refused" }> extends Evidenced {
  readonly decision: D;
  readonly explanation: Explanation | null;

  constructor(decision: D, explanation: Explanation | null, receipt: Receipt) {
    super(receipt);
    this.decision = decision;
    this.explanation = explanation;
  }
}

/** A lifecycle command, decided and not yet durable. */
export interface LifecycleOutcome {
  readonly decision: LifecycleDecision;
  readonly explanation: Explanation | null;
  /** As the command left it; null where it was never admitted. */
  readonly workload: Workload | null;
}

/** A mesh command, decided and not yet durable. */
export interface MeshOutcome {
  readonly decision: MeshDecision;
  readonly explanation: Explanation | null;
  /** null where the mesh was never defined. */
  readonly before: Mesh | null;
  readonly after: Mesh | null;
}

/** Further state that commits with a command's event, made once the command is decided and before it is durable. */
export type Alongside<O> = (outcome: O, eventId: string) => readonly StateWrite[];

/** Which policy decides, and when its source last confirmed it (null: it has no remote source, so no age). */
export interface ActivePolicy {
  readonly policy: Policy | null;
  readonly confirmedAtMs: number | null;
}

export interface GateParts {
  readonly ledger: Ledger;
  readonly states: StateView;
  readonly trust: Trust;
  readonly active: () => ActivePolicy;
  readonly partition: () => Context["partition"];
  readonly evidenceProfileId: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A UUID, version 7. */
  readonly newId: () => string;
  readonly observe: GateObserver;
}

/** What operators measure and are told. */
export interface GateObserver {
  evaluated(ms: number): void;
  decided(decision: PolicyDecision): void;
  /** A lifecycle or mesh command; `code` null where it was accepted. */
  commanded(law: string, code: string | null): void;
  /** The cause of a POL-01 or POL-03, which the caller is not told. */
  policyFailed(problem: string, eventId: string): void;
}

/** A decision, with what its evidence must name. */
interface Decided<I, D> {
  readonly situation: Situation;
  readonly catalogue: Catalogue;
  readonly input: I;
  readonly inputText: string;
  readonly decision: D;
  /** The decision in canonical form, as it is stored. */
  readonly decisionText: string;
  /** Why the host refused in the law's place. */
  readonly problem: string | undefined;
}

/** See {@link Alongside}. */
type Beside<I, D> = (decided: Decided<I, D>, eventId: string) => readonly StateWrite[];

type Outcome = { readonly outcome: "accepted" | "refused" };

const encoder = new TextEncoder();
const NO_POLICY = digestOf(EMPTY_SET);

export class Gate {
  readonly #parts: GateParts;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /**
   * Decides an admission, accepted or refused.
   * @returns when the decision is signed and durable.
   * @throws EvidenceUnavailableError EVI-01: it could not be made durable, and nothing was admitted.
   */
  async admit(
    request: AdmissionRequest,
    caller: Caller,
    trace: Trace = {},
    alongside?: Alongside<Decision>,
  ): Promise<Admission> {
    const [answer] = await this.admitAll([request], caller, trace, alongside);
    return answer!;
  }

  /** As `admit`, for several: decided in order, each seeing what the ones before it changed, in one commit. */
  async admitAll(
    requests: readonly AdmissionRequest[],
    caller: Caller,
    trace: Trace = {},
    alongside?: Alongside<Decision>,
  ): Promise<Admission[]> {
    const commands = requests.map((request) => admission(request, caller));
    const decided = await this.#run(
      commands,
      caller,
      trace,
      alongside && (({ decision, catalogue }, id) => alongside(explain(decision, catalogue), id)),
    );
    return decided.map(({ decision, catalogue, receipt }) => {
      this.#parts.observe.decided(decision);
      return new Admission(explain(decision, catalogue), receipt);
    });
  }

  /** What would be decided now. Nothing is recorded, so nothing is admitted. */
  async dryRun(request: AdmissionRequest, caller: Caller): Promise<Decision> {
    const command = admission(request, caller);
    const tokens = await command.verify(this.#parts.trust, this.#parts.now());
    const { decision, catalogue } = this.#decide(command, caller, tokens);
    return explain(decision, catalogue);
  }

  /**
   * Moves a workload through its life, judges a re-attestation, or notices a missed deadline (spec law §4).
   * @returns the answer, accepted or refused, and the workload as it left it; null where it was never admitted.
   * @throws EvidenceUnavailableError EVI-01; nothing changed.
   */
  async lifecycle(
    request: LifecycleCommand,
    tenantId: string,
    caller: Caller,
    trace: Trace = {},
    alongside?: Alongside<LifecycleOutcome>,
  ): Promise<{ answer: CommandAnswer<LifecycleDecision>; workload: Workload | null }> {
    const command = lifecycleCommand(request, tenantId, trace.traceId);
    const answer = await this.#answer(
      command,
      caller,
      trace,
      alongside && ((made, id) => alongside({ ...made, workload: command.after }, id)),
    );
    return { answer, workload: command.after };
  }

  /**
   * Commands a mesh (spec law §5).
   * @param expected decide only if it holds of the mesh's revision (`If-Match`), which is 0 before the mesh is defined.
   * @returns the answer, accepted or refused, and the mesh before and after it; null where it was never defined.
   * @throws RevisionError the mesh has moved on; nothing was decided.
   * @throws EvidenceUnavailableError EVI-01; nothing changed.
   */
  async mesh(
    request: MeshCommand,
    tenantId: string,
    caller: Caller,
    trace: Trace = {},
    expected?: (revision: number) => boolean,
    alongside?: Alongside<MeshOutcome>,
  ): Promise<{ answer: CommandAnswer<MeshDecision>; before: Mesh | null; after: Mesh | null }> {
    const command = meshCommand(request, tenantId, trace.traceId, expected);
    const answer = await this.#answer(
      command,
      caller,
      trace,
      alongside && ((made, id) => alongside({ ...made, before: command.before, after: command.after }, id)),
    );
    return { answer, before: command.before, after: command.after };
  }

  /**
   * A tenant's meshes, as far as they are durable: a read shows nothing that a crash could take back.
   * @throws EvidenceUnavailableError the store cannot be read.
   */
  meshes(tenantId: string): ReadonlyMap<string, Mesh> {
    return this.#parts.states.durableMeshes(tenantId);
  }

  async #answer<I, D extends SingleRefusal & { readonly params: { readonly [name: string]: unknown } }>(
    command: Command<I, D>,
    caller: Caller,
    trace: Trace,
    alongside?: Alongside<{ decision: D; explanation: Explanation | null }>,
  ): Promise<CommandAnswer<D>> {
    const made = ({ decision, catalogue }: Decided<I, D>) => ({
      decision,
      explanation:
        decision.error_code === null ? null : explainRefusal(decision.error_code, decision.params, catalogue),
    });
    const [decided] = await this.#run(
      [command],
      caller,
      trace,
      alongside && ((decided, id) => alongside(made(decided), id)),
    );
    const { decision, explanation } = made(decided!);
    this.#parts.observe.commanded(command.entrypoint, decision.error_code);
    return new CommandAnswer(decision, explanation, decided!.receipt);
  }

  /** Commands of one caller, and what follows from them, in one commit. */
  async #run<I, D extends Outcome>(
    commands: readonly Command<I, D>[],
    caller: Caller,
    trace: Trace,
    alongside?: Beside<I, D>,
  ) {
    const { ledger, states, trust, now } = this.#parts;
    const tokens = await Promise.all(commands.map((command) => command.verify(trust, now())));
    // From here to the append nothing is awaited, so that decisions are linked in the order they are made.
    const { steps, receipts } = states.attempt(() => {
      const entries: Entry[] = [];
      const take = <J, E extends Outcome>(command: Command<J, E>, known: Tokens, beside?: Beside<J, E>) => {
        const { decided, entry } = this.#step(
          command,
          this.#decide(command, caller, known),
          trace,
          ledger.appended + entries.length + 1,
          beside,
        );
        entries.push(entry);
        const place = entries.length - 1;
        for (const next of command.followUps?.(states, decided.decision) ?? []) take(next, NO_TOKENS);
        return { decided, place };
      };
      const steps = commands.map((command, i) => take(command, tokens[i]!, alongside));
      return { steps, receipts: ledger.append(entries) };
    });
    const durable = await Promise.all(receipts);
    return steps.map(({ decided, place }) => ({ ...decided, receipt: durable[place]! }));
  }

  /** Facts → decide. A policy that is missing, fails, or answers what is no decision refuses (POL-01, POL-03). */
  #decide<I, D extends Outcome>(command: Command<I, D>, caller: Caller, tokens: Tokens): Decided<I, D> {
    const { policy } = this.#parts.active();
    const situation = this.#situation(caller, tokens);
    const input = command.input(this.#parts.states, situation);
    const inputText = JSON.stringify(input);
    const made = { situation, input, inputText, catalogue: policy?.catalogue ?? {} };
    if (!policy) return { ...made, ...refusedByHost(command, "policy_unavailable", "no policy is active") };
    const started = performance.now();
    try {
      const recognised = command.recognise(
        policy.evaluateText(command.entrypoint, encoder.encode(inputText)),
        policy.catalogue,
      );
      if ("problem" in recognised)
        return {
          ...made,
          ...refusedByHost(command, "policy_error", `the policy's output is no decision: ${recognised.problem}`),
        };
      const decisionText = canonicalOf(recognised.decision);
      if (decisionText === undefined)
        return {
          ...made,
          ...refusedByHost(
            command,
            "policy_error",
            "the policy's output has a number or text that JSON cannot carry safely",
          ),
        };
      return { ...made, decision: recognised.decision, decisionText, problem: undefined };
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      return { ...made, ...refusedByHost(command, "policy_error", error.message) };
    } finally {
      this.#parts.observe.evaluated(performance.now() - started);
    }
  }

  #situation(caller: Caller, tokens: Tokens): Situation {
    const { policy, confirmedAtMs } = this.#parts.active();
    const nowMs = this.#parts.now();
    return {
      nowMs,
      caller,
      tokens,
      context: {
        partition: this.#parts.partition(),
        policy: {
          age_s: confirmedAtMs === null ? null : Math.floor((nowMs - confirmedAtMs) / 1000),
          snapshot_id: policy?.digest ?? NO_POLICY,
        },
        authority: { age_s: null, snapshot_id: tokens.snapshot.digest },
      },
    };
  }

  /** Step. A decision that would break an invariant is refused in the law's place (POL-03), and evidenced. */
  #step<I, D extends Outcome>(
    command: Command<I, D>,
    decided: Decided<I, D>,
    trace: Trace,
    ticket: number,
    beside?: Beside<I, D>,
  ): { decided: Decided<I, D>; entry: Entry } {
    try {
      return { decided, entry: this.#evidence(command, decided, trace, ticket, beside) };
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      const refused = { ...decided, ...refusedByHost(command, "policy_error", error.message) };
      return { decided: refused, entry: this.#evidence(command, refused, trace, ticket, beside) };
    }
  }

  /** What the decision changes, and the event that says so. */
  #evidence<I, D extends Outcome>(
    command: Command<I, D>,
    decided: Decided<I, D>,
    trace: Trace,
    ticket: number,
    beside?: Beside<I, D>,
  ): Entry {
    const { situation, input, decision } = decided;
    const { nowMs, caller, tokens, context } = situation;
    const {
      event_type,
      outcome = decision.outcome,
      subject,
      refusal,
      details,
    } = command.statement(input, decision, this.#parts.states, situation);
    mustFit(details);
    const artifact = artifactText(command.entrypoint, decided);
    const artifactDigest = digestOf(artifact);
    const draft: EventDraft = {
      id: this.#parts.newId(),
      event_type,
      occurred_at: new Date(nowMs).toISOString(),
      tenant_id: command.tenantId,
      actor: actorOf(caller),
      correlation_id: command.correlationId ?? this.#parts.newId(),
      outcome,
      evidence_profile_id: this.#parts.evidenceProfileId,
      evidence_pointer: `eosc://evidence/${artifactDigest}`,
      policy_snapshot_id: context.policy.snapshot_id,
      authority_snapshot_id: context.authority.snapshot_id,
      subject,
      ...(refusal && {
        refusal_reason_class: refusal.class,
        refusal_reason_code: refusal.code,
        refusal_subject: briefPointer(refusal.pointer),
      }),
      details: {
        ...details,
        ...(trace.requestId && { request_id: trace.requestId }),
        ...(trace.traceId && { trace_id: trace.traceId }),
      },
    };
    const states = command.fold(this.#parts.states, draft, ticket);
    if (beside) states.push(...beside(decided, draft.id));
    if (decided.problem !== undefined) this.#parts.observe.policyFailed(decided.problem, draft.id);
    const blobs = tokens === NO_TOKENS ? [] : [tokens.snapshot];
    return { draft, artifact, artifactDigest, workloadId: command.workloadId, occurredAtMs: nowMs, blobs, states };
  }
}

function refusedByHost<I, D extends Outcome>(
  command: Command<I, D>,
  code: HostRefusalCode,
  problem: string,
): { decision: D; decisionText: string; problem: string } {
  const decision = command.failClosed(code);
  return { decision, decisionText: canonicalJson(decision), problem };
}

/** undefined for what does not round-trip (spec evidence §1): it could not be put on record. */
function canonicalOf(decision: unknown): string | undefined {
  try {
    return canonicalJson(decision);
  } catch {
    return undefined;
  }
}

/** The artifact: exactly what was evaluated and what came out (spec evidence §1, docs/decisions/0001). */
function artifactText(entrypoint: string, { decisionText, inputText, problem }: Decided<unknown, unknown>): string {
  const members = [`"decision":${decisionText}`, `"entrypoint":"${entrypoint}"`, `"input":${inputText}`];
  if (problem !== undefined) members.push(`"problem":${JSON.stringify(problem)}`);
  return `{${members.join(",")}}`;
}
