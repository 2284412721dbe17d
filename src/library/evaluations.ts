// Evaluations of any active policy's entrypoints, as OPA's data API asks for them: which entrypoint answers, of which bundle, and what came of it.
import { tenantOf, type Caller } from "../core/caller.ts";
import { EvaluationFailedError, NotFoundError } from "../core/errors.ts";
import { parseExact } from "../core/json-exact.ts";
import { throughJson } from "../core/json.ts";
import { mergedInput } from "../core/merged-input.ts";
import { evaluate, type EvaluationOutcome } from "../gate/commands/evaluate.ts";
import type { Call, Evidenced } from "../gate/gate.ts";
import type { RailgateNode } from "../node/open.ts";
import { entrypointAt, partsOf, type Found } from "../policy/entrypoints.ts";
import type { Policy } from "../policy/policy.ts";
import { checkNames } from "./names.ts";
import type { BatchEvaluation, BatchOptions, EvaluateOptions, Evaluation } from "./railgate.ts";

/** What of `data` is asked for. */
export type DataPath = string | readonly string[];

/** What is asked at once: alike in everything but the input. */
export interface Inquiry {
  readonly path: DataPath;
  readonly tenantId?: string | undefined;
  /** In order; undefined: none, which is not the same as null. */
  readonly inputs: readonly unknown[];
  /** Whether an error of a builtin is that of the evaluation; ask `cannot` first. */
  readonly strict?: boolean | undefined;
  readonly metadata?: object | undefined;
  readonly batchId?: string | undefined;
}

/** What came of one evaluation. */
export interface Evaluated {
  readonly decisionId: string;
  /** The result's JSON; undefined where it is undefined, or there is a failure. */
  readonly resultText: string | undefined;
  readonly failure: EvaluationFailedError | undefined;
  readonly tookMs: number;
}

/** The name of the bundle that comes with Railgate, where settings name none. */
export const SHIPPED = "railgate";

/** A policy that is active, as `provenance` tells of it. */
export interface ActiveRevision {
  readonly name: string;
  readonly revision: string;
}

export class Evaluations {
  readonly #node: RailgateNode;
  readonly #caller: Caller;

  constructor(node: RailgateNode, caller: Caller) {
    this.#node = node;
    this.#caller = caller;
  }

  /**
   * Evaluates, in order and in one commit.
   * @param call.enough told what came of each in turn: whether the rest shall not be evaluated any more.
   * @returns when all is signed and durable.
   * @throws NotFoundError `entrypoint_unknown`: no active policy has an entrypoint at the path or above it.
   * @throws RequestError, TenantForbiddenError, EvidenceUnavailableError
   */
  async evaluateAll(
    { path, tenantId, inputs, strict, metadata, batchId }: Inquiry,
    call: Pick<Call, "trace"> & { readonly enough?: (evaluated: Omit<Evaluated, "decisionId">) => boolean },
  ): Promise<Evaluated[]> {
    const tenant = tenantOf(this.#caller, tenantId);
    const { entrypoint, below } = this.find(path);
    const commands = inputs.map((input) =>
      evaluate({
        tenantId: tenant,
        entrypoint,
        below,
        input,
        strict,
        metadata,
        batchId,
        correlationId: call.trace?.traceId,
      }),
    );
    const { enough } = call;
    const done = await this.#node.gate.run(commands, {
      caller: this.#caller,
      trace: call.trace,
      ...(enough && { enough: (outcome) => enough(toldOf(outcome as EvaluationOutcome)) }),
    });
    return done.map(evaluatedOf);
  }

  /** @throws NotFoundError `entrypoint_unknown` */
  find(path: DataPath): Found {
    const parts = typeof path === "string" ? partsOf(path) : path.filter((part) => part !== "");
    const policy = this.#policyAt(parts);
    // Nothing can be told of a policy that is not there; that it is missing is evidence.
    if (policy === null) return { entrypoint: parts.map(encodeURIComponent).join("/"), below: [] };
    const entrypoints = policy?.entrypoints ?? this.#node.policies.bundles().flatMap((each) => each.policy.entrypoints);
    const found = policy && entrypointAt(entrypoints, parts);
    if (found === undefined) throw new NotFoundError("entrypoint_unknown", unanswered(parts, entrypoints));
    return found;
  }

  /** Why what is asked of a policy beside its result cannot be had of it, compiled as it is; undefined where it can. */
  cannot(
    path: DataPath,
    { strict, labels }: { readonly strict: boolean; readonly labels: boolean },
  ): string | undefined {
    const policy = this.#policyAt(typeof path === "string" ? partsOf(path) : path);
    if (!policy) return undefined;
    if (labels && !policy.unlabelled)
      return "rule_labels tells which rules were evaluated, and compiled policy does not say which were";
    const { compiledBuiltins } = policy;
    if (!strict || compiledBuiltins?.length === 0) return undefined;
    const which = compiledBuiltins === undefined ? "whichever it has" : compiledBuiltins.join(", ");
    return `strict-builtin-errors needs to hear of each builtin's error, and those that are compiled in tell of none: ${which}`;
  }

  /** Whether an active policy has an entrypoint at the path or above it. */
  answers(path: readonly string[]): boolean {
    const policy = this.#policyAt(path);
    return policy === null || entrypointAt(policy?.entrypoints ?? [], path) !== undefined;
  }

  /** For checks of health, which are asked again and again and decide nothing: no evidence. @throws EvaluationError; NotFoundError */
  look(path: readonly string[], input: unknown): unknown {
    const { entrypoint, below } = this.find(path);
    const value = this.#policyAt(path)?.evaluate(entrypoint, input);
    return below.length === 0 ? value : undefined;
  }

  /** The policy that is about a path; undefined where it is none's; null where there is none at all. */
  #policyAt(path: readonly string[]): Policy | null | undefined {
    const { policies, policy } = this.#node;
    const all = policies.bundles();
    return policies.find(path.join("/"))?.policy ?? (all.length > 1 ? undefined : policy);
  }

  /** An id for a batch: that of no event, and in the details of each. */
  newBatchId(): string {
    return this.#node.newId();
  }

  /** All that is active, by the names that settings give them. */
  get revisions(): readonly ActiveRevision[] {
    return this.#node.policies
      .bundles()
      .map(({ name, policy }) => ({ name: name ?? SHIPPED, revision: policy.revision }));
  }

  async one(path: DataPath, input: unknown, options: EvaluateOptions = {}): Promise<Evaluation> {
    checkNames({ trace_id: options.traceId, tenant_id: options.tenantId });
    const inputs = [input === undefined ? undefined : throughJson(input)];
    const [evaluated] = await this.evaluateAll({ path, tenantId: options.tenantId, inputs }, traceIn(options));
    if (evaluated!.failure) throw evaluated!.failure;
    return evaluationOf(evaluated!);
  }

  async many(
    path: DataPath,
    inputs: { readonly [key: string]: unknown },
    { commonInput, ...options }: BatchOptions = {},
  ): Promise<BatchEvaluation> {
    checkNames({ trace_id: options.traceId, tenant_id: options.tenantId });
    const read = throughJson({ inputs, ...(commonInput !== undefined && { common_input: commonInput }) });
    const { inputs: each, common_input } = read as { inputs: Record<string, unknown>; common_input?: unknown };
    const batchId = this.newBatchId();
    const keys = Object.keys(each);
    const merged = keys.map((key) => mergedInput(common_input, each[key]));
    const asked = { path, tenantId: options.tenantId, inputs: merged, batchId };
    const done = await this.evaluateAll(asked, traceIn(options));
    const responses = done.map((evaluated, at) => [keys[at]!, evaluated.failure ?? evaluationOf(evaluated)] as const);
    return { batch_decision_id: batchId, responses: Object.fromEntries(responses) };
  }
}

const traceIn = ({ traceId }: EvaluateOptions): Pick<Call, "trace"> => ({ trace: { traceId } });

function evaluationOf({ decisionId, resultText }: Evaluated): Evaluation {
  return { decision_id: decisionId, ...(resultText !== undefined && { result: parseExact(resultText) }) };
}

const evaluatedOf = ({ outcome, eventId }: Evidenced<EvaluationOutcome>): Evaluated => ({
  decisionId: eventId,
  ...toldOf(outcome, eventId),
});

function toldOf({ resultText, fault, tookMs }: EvaluationOutcome, decisionId = ""): Omit<Evaluated, "decisionId"> {
  return { resultText, failure: fault && new EvaluationFailedError(decisionId, [fault]), tookMs };
}

function unanswered(parts: readonly string[], entrypoints: readonly string[]): string {
  const asked = ["data", ...parts].join(".");
  const below = entrypoints.filter((name) =>
    partsOf(name)
      .join("/")
      .startsWith(`${parts.join("/")}/`),
  );
  const cure =
    below.length > 0 || parts.length === 0
      ? "a document of several is answered where its package is built as an entrypoint"
      : "build it as one: opa build -t wasm -e <path>";
  return `${asked} is no entrypoint of an active policy, and compiled policy answers at entrypoints only; ${cure}`;
}
