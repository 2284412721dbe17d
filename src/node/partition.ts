// Whether this node is cut off, and why: what its sources report, damped, becomes one state, which the law is told and evidence holds (spec law §6).
import type { Context } from "../core/schema/input.ts";
import { every, type Service } from "./services.ts";

export type PartitionState = Context["partition"]["state"];

/** Sources that are heard from regularly; `upstream` takes evidence, `bundles` brings policy. */
const PARTITION_SOURCES = ["upstream", "bundles"] as const;
export type PartitionSource = (typeof PARTITION_SOURCES)[number];
/** `operator`: somebody has said so, for a drill or a planned isolation. */
export type PartitionReason = PartitionSource | "operator";

/** Why the state is not `connected`, or will soon not be. */
export interface ReasonShown {
  readonly reason: PartitionReason;
  /** RFC 3339: since when it has not been heard from, or what the operator said holds. */
  readonly since: string;
  /** What the source failed with, or what the operator gave as reason. */
  readonly problem: string;
}

/** All that there is to say of a partition. */
export interface PartitionStatus {
  readonly state: PartitionState;
  /** RFC 3339: when this state began; null: it was never another. */
  readonly since: string | null;
  readonly reasons: readonly ReasonShown[];
}

/** What outlasts a restart, in the same commit as the event that tells of it. */
export interface PartitionMemory extends PartitionStatus {
  readonly from: PartitionState;
}

export interface PartitionTimes {
  /** How long a source must fail, without one success, until it counts as lost. */
  readonly lostAfterMs: number;
  /** How long a lost source must answer, without one failure, until it counts as back. */
  readonly settledAfterMs: number;
  /** How long `reconciled` is shown until it is `connected` again. */
  readonly reconciledForMs: number;
}

export const PARTITION_TIMES: PartitionTimes = { lostAfterMs: 10_000, settledAfterMs: 5000, reconciledForMs: 60_000 };

export interface PartitionParts {
  readonly times: PartitionTimes;
  /** What was on record when the node was last open. */
  readonly before: PartitionMemory | undefined;
  /** Puts a change on record (`crp.partition.state`). Rejects where it cannot be; it is tried again. */
  readonly record: (change: PartitionMemory) => Promise<void>;
  /** Everything that was held back has arrived, policy allows the end of the partition, and that is on record. MUST NOT reject. */
  readonly reconciled: () => Promise<boolean>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds that no clock setting moves. */
  readonly monotonic?: () => number;
}

/** How one source has answered lately. */
interface Heard {
  /** It counts as lost. */
  lost: boolean;
  /** Since when, without interruption; monotonic, and as the clock had it. */
  failing: { readonly at: number; readonly since: string } | undefined;
  answering: number | undefined;
  problem: string;
}

const LOOK_MS = 250;
const PROBLEM_CHARS_MAX = 512;

export class Partition {
  readonly #parts: PartitionParts;
  readonly #sources = new Map<PartitionSource, Heard>();
  #operator: ReasonShown | undefined;
  #state: PartitionState;
  #since: string | null;
  /** Monotonic: when the present state began, as far as this process knows. */
  #at: number;
  /** The latest change that is not on record yet; what lay between was never seen outside. */
  #unrecorded: PartitionMemory | undefined;
  #looking: Promise<void> | undefined;

  constructor(parts: PartitionParts) {
    this.#parts = parts;
    const { before } = parts;
    this.#state = before?.state ?? "connected";
    this.#since = before?.since ?? null;
    this.#operator = before?.reasons.find(({ reason }) => reason === "operator");
    this.#at = this.#monotonic();
  }

  /** From now on this source is expected to be heard from. Until it has reported, it counts as it was left. */
  expect(source: PartitionSource): void {
    if (this.#sources.has(source)) return;
    const left = this.#parts.before?.reasons.find(({ reason }) => reason === source);
    this.#sources.set(source, {
      lost: left !== undefined && this.#state === "partitioned",
      failing: left && { at: this.#monotonic(), since: left.since },
      answering: undefined,
      problem: left?.problem ?? "",
    });
  }

  /**
   * A source was heard from, or was not. Costs next to nothing; call it with every exchange.
   * @param problem why not; undefined: it answered.
   */
  report(source: PartitionSource, problem: string | undefined): void {
    this.expect(source);
    const heard = this.#sources.get(source)!;
    const at = this.#monotonic();
    if (problem === undefined) {
      heard.answering ??= at;
      if (!heard.lost) heard.failing = undefined;
    } else {
      heard.answering = undefined;
      heard.failing ??= { at, since: this.#time() };
      heard.problem = problem.slice(0, PROBLEM_CHARS_MAX);
    }
    void this.look();
  }

  /** An operator says that the node is cut off from now on. @param problem why, in their words. */
  async isolate(problem: string): Promise<void> {
    this.#operator = { reason: "operator", since: this.#time(), problem: problem.slice(0, PROBLEM_CHARS_MAX) };
    if (this.#state === "partitioned") this.#noteChange("partitioned");
    await this.#lookAnew();
  }

  /** An operator takes that back. The partition ends once all that was held back has arrived. */
  async rejoin(): Promise<void> {
    if (!this.#operator) return;
    this.#operator = undefined;
    if (this.#state === "partitioned") this.#noteChange("partitioned");
    await this.#lookAnew();
  }

  /** Whether an operator has said that nothing may be sent. */
  get isolated(): boolean {
    return this.#operator !== undefined;
  }

  /** What the law is told. */
  context(): Context["partition"] {
    return { state: this.#state, since: this.#since };
  }

  get status(): PartitionStatus {
    const reasons = [...this.#sources].flatMap(([reason, { failing, problem }]) =>
      failing ? [{ reason, since: failing.since, problem }] : [],
    );
    return {
      state: this.#state,
      since: this.#since,
      reasons: [...reasons, ...(this.#operator ? [this.#operator] : [])],
    };
  }

  /** Looks at the clock, so that what has lasted long enough counts. */
  service(): Service {
    return every(LOOK_MS, () => this.look());
  }

  /** Never rejects, and is never under way twice. */
  look(): Promise<void> {
    return (this.#looking ??= this.#look()
      .catch(() => {})
      .finally(() => (this.#looking = undefined)));
  }

  /** One that was under way may have looked before. */
  async #lookAnew(): Promise<void> {
    await this.#looking;
    await this.look();
  }

  async #look(): Promise<void> {
    this.#count();
    const wanted = this.#wanted();
    if (this.#state === "partitioned" && wanted !== "partitioned") {
      if (this.#unrecorded) await this.#recordChange();
      if (!this.#unrecorded && (await this.#parts.reconciled()) && this.#wanted() !== "partitioned")
        this.#become("reconciled");
    } else if (this.#state === "reconciled" && wanted === "connected") {
      if (this.#monotonic() - this.#at >= this.#parts.times.reconciledForMs) this.#become("connected");
    } else this.#become(wanted);
    if (this.#unrecorded) await this.#recordChange();
  }

  /** What has failed, or answered, for long enough. */
  #count(): void {
    const now = this.#monotonic();
    const { lostAfterMs, settledAfterMs } = this.#parts.times;
    for (const heard of this.#sources.values()) {
      const { failing, answering } = heard;
      if (failing && answering === undefined && now - failing.at >= lostAfterMs) heard.lost = true;
      if (heard.lost && answering !== undefined && now - answering >= settledAfterMs) {
        heard.lost = false;
        heard.failing = undefined;
      }
    }
  }

  /** What the state would be, had there been no partition before. A node that is in touch with upstream is not cut off, whatever else it lacks. */
  #wanted(): PartitionState {
    const [upstream, bundles] = PARTITION_SOURCES.map((source) => this.#sources.get(source));
    if (this.#operator || upstream?.lost || (bundles?.lost && !upstream)) return "partitioned";
    return upstream?.failing || bundles?.failing ? "degraded" : "connected";
  }

  #become(state: PartitionState): void {
    if (state === this.#state) return;
    const from = this.#state;
    this.#state = state;
    this.#since = this.#time();
    this.#at = this.#monotonic();
    this.#noteChange(from);
  }

  /** It is to be recorded, the operator's word included, so that a restart knows. */
  #noteChange(from: PartitionState): void {
    this.#unrecorded = { ...this.status, from: this.#unrecorded?.from ?? from };
  }

  async #recordChange(): Promise<void> {
    const change = this.#unrecorded!;
    await this.#parts.record(change);
    if (this.#unrecorded === change) this.#unrecorded = undefined;
  }

  #time(): string {
    return new Date(this.#parts.now()).toISOString();
  }

  #monotonic(): number {
    return (this.#parts.monotonic ?? performance.now.bind(performance))();
  }
}
