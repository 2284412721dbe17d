// A candidate that decides beside the active policy: after the answer, counted, and only its differences kept and put on record. Nothing else changes.
import { setImmediate } from "node:timers/promises";
import { changeBetween, FAILED_DECISION, type DecisionShape } from "../core/decision-change.ts";
import { digestOf } from "../core/event.ts";
import { canonicalJson } from "../core/json.ts";
import type { ShadowChange, ShadowFigures } from "../core/schema/policies.ts";
import { EvaluationError } from "../policy/evaluator.ts";
import type { Policy } from "../policy/policy.ts";

/** One decision of the active policy. */
export interface ShadowedDecision {
  readonly entrypoint: string;
  readonly inputText: string;
  /** Canonical; undefined where the policy has no answer. */
  readonly decisionText: string | undefined;
  readonly eventId: string;
  readonly tenantId: string;
  readonly correlationId: string;
  readonly subject: string | null;
}

export type Difference = ShadowFigures["items"][number];

export interface ShadowParts {
  /** Puts a difference on record. MUST NOT reject. */
  readonly record: (difference: Difference, of: ShadowedDecision, by: Policy, decision: string) => Promise<void>;
  readonly observe: (outcome: "same" | "skipped" | ShadowChange) => void;
  /** One decides from now on, or none any more. */
  readonly changed?: () => void;
}

const WAITING_MAX = 1000;
const ITEMS_MAX = 1000;
/** So many differences are evidence enough, and no policy fills the store by disagreeing. */
const RECORDED_MAX = 1000;

export class Shadows {
  readonly #parts: ShadowParts;
  #policy: Policy | null = null;
  #figures: ShadowFigures | undefined;
  #waiting: ShadowedDecision[] = [];
  #running: Promise<void> | undefined;
  #recorded = 0;

  constructor(parts: ShadowParts) {
    this.#parts = parts;
  }

  /** What came of it so far; undefined where none decides, or another. */
  figures(digest: string): ShadowFigures | undefined {
    return this.#figures?.digest === digest ? this.#figures : undefined;
  }

  begin(policy: Policy): void {
    const differences = { newly_refused: 0, newly_admitted: 0, other_envelope: 0, other: 0 };
    this.#figures = { digest: policy.digest, decided: 0, skipped: 0, differences, items: [] };
    this.#policy = policy;
    this.#recorded = 0;
    this.#waiting = [];
    this.#parts.changed?.();
  }

  /** Whether one decides beside the active policy. */
  get active(): boolean {
    return this.#policy !== null;
  }

  forget(digest: string): void {
    if (this.#policy?.digest !== digest) return;
    this.#policy = null;
    this.#waiting = [];
    this.#parts.changed?.();
  }

  /** To be called when the active policy's answer is on its way; returns at once. */
  decided(decision: ShadowedDecision): void {
    if (this.#policy === null || !this.#policy.entrypoints.includes(decision.entrypoint)) return;
    if (this.#waiting.length >= WAITING_MAX) {
      this.#figures = { ...this.#figures!, skipped: this.#figures!.skipped + 1 };
      this.#parts.observe("skipped");
      return;
    }
    this.#waiting.push(decision);
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** One at a time, others in between. */
  async #run(): Promise<void> {
    for (;;) {
      await setImmediate();
      const next = this.#waiting.shift();
      if (!next || !this.#policy) return;
      this.#look(next, this.#policy);
    }
  }

  #look(of: ShadowedDecision, policy: Policy): void {
    const { text, shape } = decide(policy, of);
    const figures = { ...this.#figures!, decided: this.#figures!.decided + 1 };
    this.#figures = figures;
    if (text === of.decisionText) return this.#parts.observe("same");
    const change = changeBetween(JSON.parse(of.decisionText ?? "{}") as DecisionShape, shape) ?? "other";
    const { eventId: event_id, tenantId: tenant_id, subject, entrypoint } = of;
    const difference: Difference = { event_id, tenant_id, subject, entrypoint, change };
    this.#figures = {
      ...figures,
      differences: { ...figures.differences, [change]: figures.differences[change] + 1 },
      items: [difference, ...figures.items].slice(0, ITEMS_MAX),
    };
    this.#parts.observe(change);
    if (text === undefined || this.#recorded >= RECORDED_MAX) return;
    this.#recorded++;
    void this.#parts.record(difference, of, policy, text);
  }
}

/** `text` undefined: it is no decision that could be kept. */
function decide(
  policy: Policy,
  { entrypoint, inputText }: ShadowedDecision,
): { text: string | undefined; shape: DecisionShape } {
  let output: unknown;
  try {
    output = policy.evaluateText(entrypoint, inputText);
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    return { text: undefined, shape: FAILED_DECISION };
  }
  return { text: textOf(output), shape: (output ?? {}) as DecisionShape };
}

function textOf(output: unknown): string | undefined {
  if (output === undefined) return undefined;
  try {
    return canonicalJson(output);
  } catch {
    return undefined;
  }
}

/** The artifact of a difference: exactly what was evaluated and what came out, so that it can be run again. */
export const differenceArtifact = (
  { entrypoint, inputText }: ShadowedDecision,
  decision: string,
): [text: string, digest: string] => {
  const text = `{"decision":${decision},"entrypoint":${JSON.stringify(entrypoint)},"input":${inputText}}`;
  return [text, digestOf(text)];
};
