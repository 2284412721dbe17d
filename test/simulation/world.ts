// A simulated world: one clock, one queue of what is going to happen, and actors to whom it happens. Nothing in it waits for real time.
import { Met } from "./met.ts";
import type { Random } from "./random.ts";
import type { Disk } from "./disk.ts";

/** Kept by whoever imports this first: the world replaces it for everyone else. */
const realTurn = setImmediate;

/** 2026-01-01T00:00:00Z, when every simulation begins. */
const BEGIN_MS = 1_767_225_600_000;

/** A process or a thread: what it has set going ends with it. */
export class Actor {
  readonly name: string;
  readonly parent: Actor | undefined;
  /** What it writes to; a thread writes to that of its process. */
  readonly disk: Disk | undefined;
  /** By how much its clock is wrong, in milliseconds. */
  skewMs = 0;
  /** Of a process: by which its machine knows it, and that machine's name. */
  pid = 0;
  host = "";
  /** Until when nothing of it is run, in milliseconds of the world. */
  #pausedUntilMs = 0;
  #ended = false;
  readonly #atEnd: (() => void)[] = [];

  constructor(name: string, parent?: Actor, disk: Disk | undefined = parent?.disk) {
    this.name = name;
    this.parent = parent;
    this.disk = disk;
  }

  /** Itself, or whose thread it is. */
  get process(): Actor {
    return this.parent?.process ?? this;
  }

  get alive(): boolean {
    return !this.#ended && (this.parent?.alive ?? true);
  }

  get pausedUntilMs(): number {
    return Math.max(this.#pausedUntilMs, this.parent?.pausedUntilMs ?? 0);
  }

  get clockErrorMs(): number {
    return this.skewMs + (this.parent?.clockErrorMs ?? 0);
  }

  /** Until then at least: what was put off to the end of an earlier pause must not be left behind by all that comes after it. */
  pause(untilMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs);
  }

  /** Whoever waits for it is told. */
  atEnd(told: () => void): void {
    this.#atEnd.push(told);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const told of this.#atEnd) told();
  }
}

/** Something that is going to happen. */
export interface Happening {
  /** Milliseconds since the world began. */
  atMs: number;
  /** Among those of one moment. */
  readonly order: number;
  readonly owner: Actor;
  readonly run: () => void;
  cancelled: boolean;
}

/** Some times what any schedule needs, and more than three nodes at rest have while one waits in vain; what goes on for longer never comes to rest, which is a failure. */
const HAPPENINGS_MAX = 10_000;
/** Of those with a database, where each statement is several. */
const HAPPENINGS_WITH_DATABASE_MAX = 100_000;

export class World {
  readonly random: Random;
  readonly seed: number;
  /** What the world itself does. */
  readonly root = new Actor("world");
  /** Who is at it. */
  current: Actor = this.root;
  nowMs = 0;
  /** In words, what happened; undefined: nobody wants to know. */
  readonly trace: string[] | undefined;
  /** Faults that have struck. */
  readonly met = new Met();
  /** Of all that happened, in order: two runs of one seed are the same if these are. */
  fingerprint = 0;
  /** Does what others, outside of it, do about what just happened, before anything else happens. */
  settle: (() => Promise<void>) | undefined;
  /** That were ever started. */
  readonly processes: Actor[] = [];
  readonly #queue: Happening[] = [];
  #order = 0;
  #happened = 0;

  constructor(seed: number, random: Random, traced = false) {
    this.seed = seed;
    this.random = random;
    this.trace = traced ? [] : undefined;
  }

  /** What the clock of whoever is at it shows, in milliseconds since the epoch. */
  get clockMs(): number {
    return Math.floor(BEGIN_MS + this.nowMs + this.current.clockErrorMs);
  }

  /** Something happens to somebody so much later, unless they end before. */
  after(delayMs: number, owner: Actor, run: () => void): Happening {
    const happening = { atMs: this.nowMs + delayMs, order: this.#order++, owner, run, cancelled: false };
    push(this.#queue, happening);
    return happening;
  }

  /** Adds to the trace. */
  tell(what: string): void {
    this.fingerprint = hashOf(this.fingerprint, this.nowMs, this.current.name, what);
    this.trace?.push(`${this.nowMs.toFixed(3).padStart(12)} ms  ${this.current.name}: ${what}`);
  }

  /** Lets things happen until this holds. @returns whether it came to hold before this much time had passed. */
  async until(holds: () => boolean, withinMs: number): Promise<boolean> {
    const endMs = this.nowMs + withinMs;
    while (!holds()) {
      const next = this.#queue[0];
      if (!next || next.atMs > endMs) return false;
      await this.#step();
    }
    return true;
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    await this.until(() => false, ms);
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  async #step(): Promise<void> {
    const next = pop(this.#queue);
    if (next.cancelled || !next.owner.alive) return;
    const resumes = next.owner.pausedUntilMs;
    if (resumes > next.atMs) {
      this.met.add("paused");
      next.atMs = resumes;
      return push(this.#queue, next);
    }
    if (++this.#happened > (this.settle ? HAPPENINGS_WITH_DATABASE_MAX : HAPPENINGS_MAX))
      throw new Error("it never comes to rest");
    this.nowMs = Math.max(this.nowMs, next.atMs);
    this.current = next.owner;
    try {
      next.run();
      // All that follows at once, every promise of it, has happened when this turn of the real event loop comes.
      await new Promise<void>((resolve) => realTurn(resolve));
    } finally {
      this.current = this.root;
    }
    await this.settle?.();
  }
}

function hashOf(before: number, ...parts: readonly (string | number)[]): number {
  let hash = before;
  for (const character of parts.join(" ")) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0;
  return hash;
}

const isBefore = (a: Happening, b: Happening): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** A binary heap, the next first. */
function push(heap: Happening[], added: Happening): void {
  let at = heap.push(added) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!isBefore(added, heap[above]!)) break;
    heap[at] = heap[above]!;
    at = above;
  }
  heap[at] = added;
}

function pop(heap: Happening[]): Happening {
  const first = heap[0]!;
  const moved = heap.pop()!;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
    if (!isBefore(heap[below]!, moved)) break;
    heap[at] = heap[below]!;
    at = below;
  }
  heap[at] = moved;
  return first;
}
