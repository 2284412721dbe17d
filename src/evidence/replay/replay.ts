// Replays decisions: the policy that each event names decides its stored input again, and must come to the same bytes (spec evidence §6).
import { readFileSync } from "node:fs";
import { digestOf } from "../../core/event.ts";
import { ReplayError, type ReplayChange, type ReplayFinding, type ReplayItem } from "./check.ts";
import type { ChunkMemory } from "../verify/chunks.ts";
import { CANDIDATE, nameOf, ReplayPool, type ReplayItems } from "./pool.ts";
import type { DecisionPlace, ReplaySource, SourceItem } from "./items.ts";
import { openReplaySource } from "./source.ts";

export { ReplayError } from "./check.ts";

export interface DecisionChange extends DecisionPlace {
  readonly change: ReplayChange;
  /** Rules that would refuse now, or that refused then; for another envelope, which would be required in place of which. */
  readonly rules: readonly string[];
}

/** A decision that its policy and input do not lead to. */
export interface Mismatch extends DecisionPlace {
  readonly problem: string;
}

export interface ReplayReport {
  /** Whether every decision was reached again; with a candidate, whether every decision could be compared. */
  readonly ok: boolean;
  /** Events that are decisions of a policy; all others are not replayed. */
  readonly decisions: number;
  /** Reached again, byte for byte; with a candidate: decided as before. */
  readonly reproduced: number;
  /** Refused by the host, since no policy could decide (POL-01, POL-03); `decides_now`: the policy does decide today. */
  readonly host_refused: { readonly total: number; readonly decides_now: number };
  /** Erased artifacts: there is nothing left to decide on. */
  readonly erased: number;
  readonly mismatches: readonly Mismatch[];
  /** Empty without a candidate. */
  readonly changed: readonly DecisionChange[];
  /** The candidate's digest; null without one. */
  readonly candidate: string | null;
}

export interface ReplayOptions {
  /** A candidate policy's bundle, signed or not: it decides in place of the policies that did. */
  readonly candidate?: Uint8Array | undefined;
  /** Called now and then with how many decisions were replayed. */
  readonly progress?: ((decisions: number) => void) | undefined;
}

/** Decisions that one thread is given at once. */
const BATCH = 64;
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
const LISTED_MAX = 100_000;

/**
 * Replays all decisions of an export (folder, `.tar.gz`, `.tar`), of a data directory or of its database.
 * Signatures and hashes of the evidence itself are `verifyExport`'s business; that an artifact is the one its event points
 * to, and a bundle the one it names, is checked here.
 * @throws ReplayError
 */
export async function replay(path: string, options: ReplayOptions = {}): Promise<ReplayReport> {
  using source = await openReplaySource(path);
  const pool = new ReplayPool();
  try {
    if (options.candidate) await pool.addPolicy(CANDIDATE, options.candidate);
    return await new Replay(source, pool, options).run();
  } finally {
    await pool.close();
  }
}

/** Reads a candidate's bundle. @throws ReplayError */
export function readCandidate(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ReplayError(`the bundle ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

/** What was found of a decision; which one it is may have to be looked up. */
interface Told<T extends DecisionPlace> {
  readonly place: SourceItem["place"];
  readonly said: Omit<T, keyof DecisionPlace>;
}

/** Decisions that one thread is given at once, and which they are. */
class Batch {
  #items: Omit<ReplayItem, "artifact">[] = [];
  #places: SourceItem["place"][] = [];
  #ends: number[] = [];
  readonly #memory: ChunkMemory;
  /** Artifacts are put together as they come: of what they lie in until then, each would keep all. */
  #bytes: Uint8Array<ArrayBuffer>;

  constructor(memory: ChunkMemory) {
    this.#memory = memory;
    this.#bytes = memory.take(0);
  }

  get isFull(): boolean {
    return this.#items.length === BATCH || (this.#ends.at(-1) ?? 0) >= BATCH_BYTES_MAX;
  }

  add(place: SourceItem["place"], item: Omit<ReplayItem, "artifact">, artifact: Uint8Array): void {
    const from = this.#ends.at(-1) ?? 0;
    const end = from + artifact.length;
    if (end > this.#bytes.length) {
      const larger = this.#memory.take(2 * end);
      larger.set(this.#bytes.subarray(0, from));
      this.#memory.giveBack(this.#bytes.buffer);
      this.#bytes = larger;
    }
    this.#bytes.set(artifact, from);
    this.#items.push(item);
    this.#places.push(place);
    this.#ends.push(end);
  }

  /** All of them; it is empty then. */
  taken(): ReplayItems & { readonly places: readonly SourceItem["place"][] } {
    const [items, places, ends] = [this.#items, this.#places, this.#ends];
    const artifacts = this.#bytes.subarray(0, ends.at(-1) ?? 0);
    [this.#items, this.#places, this.#ends, this.#bytes] = [[], [], [], this.#memory.take(0)];
    return { items, places, ends, artifacts };
  }
}

class Replay {
  readonly #source: ReplaySource;
  readonly #pool: ReplayPool;
  readonly #options: ReplayOptions;
  readonly #mismatches: Told<Mismatch>[] = [];
  readonly #changed: Told<DecisionChange>[] = [];
  readonly #hostRefused = { total: 0, decides_now: 0 };
  #decisions = 0;
  #reproduced = 0;
  #erased = 0;

  constructor(source: ReplaySource, pool: ReplayPool, options: ReplayOptions) {
    this.#source = source;
    this.#pool = pool;
    this.#options = options;
  }

  async run(): Promise<ReplayReport> {
    const running: Promise<void>[] = [];
    const batch = new Batch(this.#pool.memory);
    const start = (): Promise<void> => {
      const { places, ...items } = batch.taken();
      const job = this.#pool.check(items).then((findings) => this.#take(places, findings));
      job.catch(() => {});
      return job;
    };
    for await (const { place, artifact, ...item } of this.#source.items()) {
      if (artifact === undefined) {
        this.#erased++;
        continue;
      }
      await this.#provide(item);
      batch.add(place, item, artifact);
      if (!batch.isFull) continue;
      running.push(start());
      if (running.length > this.#pool.size * 2) await running.shift();
    }
    running.push(start());
    await Promise.all(running);
    return this.#report(await this.#placed(this.#mismatches), await this.#placed(this.#changed));
  }

  /** Makes sure that the threads have the policy which is to decide. */
  async #provide(item: Pick<ReplayItem, "policy" | "settings">): Promise<void> {
    if (this.#options.candidate || this.#pool.has(nameOf(item))) return;
    const bundle = await this.#shared("policy bundle", item.policy);
    const settings = item.settings === null ? undefined : await this.#shared("settings", item.settings);
    if (bundle && (settings || item.settings === null)) await this.#pool.addPolicy(nameOf(item), bundle, settings);
  }

  async #shared(what: string, digest: string): Promise<Uint8Array | undefined> {
    const bytes = await this.#source.shared(digest);
    if (bytes && digestOf(bytes) !== digest) throw new ReplayError(`the ${what} ${digest} is damaged`);
    return bytes;
  }

  #take(places: readonly SourceItem["place"][], findings: readonly ReplayFinding[]): void {
    findings.forEach((finding, i) => this.#count(places[i]!, finding));
    this.#options.progress?.(this.#decisions);
  }

  #count(place: SourceItem["place"], finding: ReplayFinding): void {
    if (finding.kind === "no_decision") return;
    this.#decisions++;
    if (finding.kind === "mismatch" && this.#mismatches.length < LISTED_MAX)
      this.#mismatches.push({ place, said: { problem: finding.problem } });
    // All of them: whoever asks what a policy would change has to see each workload.
    if (finding.kind === "changed")
      this.#changed.push({ place, said: { change: finding.change, rules: finding.rules } });
    if (finding.kind === "reproduced") this.#reproduced++;
    if (finding.kind !== "host_refused") return;
    this.#hostRefused.total++;
    if (finding.decidesNow) this.#hostRefused.decides_now++;
  }

  /** What was found, with the decisions that it is about. */
  async #placed<T extends DecisionPlace>(found: readonly Told<T>[]): Promise<T[]> {
    const lines = found.flatMap(({ place }) => (typeof place === "number" ? [place] : []));
    const places = lines.length === 0 ? new Map<number, DecisionPlace>() : await this.#source.places(lines);
    return found.map(
      ({ place, said }) => ({ ...(typeof place === "number" ? places.get(place)! : place), ...said }) as T,
    );
  }

  #report(mismatches: Mismatch[], changed: DecisionChange[]): ReplayReport {
    const inOrder = <T extends { chain_id: string; sequence: number }>(list: T[]): T[] =>
      list.sort((a, b) => (a.chain_id < b.chain_id ? -1 : a.chain_id > b.chain_id ? 1 : a.sequence - b.sequence));
    return {
      ok: mismatches.length === 0,
      decisions: this.#decisions,
      reproduced: this.#reproduced,
      host_refused: this.#hostRefused,
      erased: this.#erased,
      mismatches: inOrder(mismatches),
      changed: inOrder(changed),
      candidate: this.#options.candidate ? digestOf(this.#options.candidate) : null,
    };
  }
}
