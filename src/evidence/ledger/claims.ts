// Claims: which thread decides on a piece of state just now, told in memory that all threads share. They save threads from deciding in vain, and tell which of what a thread remembers is old; that nothing moved is checked when it is committed, claims or not.

/** Names share slots; who waits for nothing but a shared slot waits in vain, and not for long. */
const SLOTS = 65_536;
/** For how long a thread waits for another, which may wait for it. */
const WAIT_MS_MAX = 1000;

/** A slot's state: 0 where nobody has it; else its owner, whether others want it, and how many claims the owner has on it. */
const OWNER_SHIFT = 20;
const WANTED = 1 << 19;
const COUNT = WANTED - 1;
export const THREADS_MAX = (1 << (31 - OWNER_SHIFT)) - 2;

const BYTES = Int32Array.BYTES_PER_ELEMENT;

/** It was waited for too long: what is claimed already is to be let go of, and claimed again. */
export class ClaimLateError extends Error {}

/** Memory for the claims of all threads. */
export const claimsMemory = (): SharedArrayBuffer => new SharedArrayBuffer(3 * SLOTS * BYTES);

export class StateClaims {
  readonly #states: Int32Array;
  /** Who had it last. */
  readonly #last: Int32Array;
  /** How often it went from one to another. */
  readonly #turns: Int32Array;
  readonly #me: number;

  /** @param me which of the threads this is, from 0 to {@link THREADS_MAX}. */
  constructor(memory: SharedArrayBuffer, me: number) {
    this.#states = new Int32Array(memory, 0, SLOTS);
    this.#last = new Int32Array(memory, SLOTS * BYTES, SLOTS);
    this.#turns = new Int32Array(memory, 2 * SLOTS * BYTES, SLOTS);
    this.#me = me + 1;
  }

  slotOf(name: string): number {
    let hash = 0x811c9dc5;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    return (hash ^ (hash >>> 16)) & (SLOTS - 1);
  }

  /** What was read of the slot is as it was while this stays the same, if it is this thread's or nobody's. */
  turnOf(slot: number): number {
    return Atomics.load(this.#turns, slot);
  }

  /** Whether another thread decides on something in it. */
  isOthers(slot: number): boolean {
    const state = Atomics.load(this.#states, slot);
    return state !== 0 && state >>> OWNER_SHIFT !== this.#me;
  }

  /** @returns whether it is claimed now; else others are told that it is wanted. */
  take(slot: number): boolean {
    for (;;) {
      const state = Atomics.load(this.#states, slot);
      const free = state === 0;
      // Who has it may go on claiming it, unless another one waits.
      if (!free && (state >>> OWNER_SHIFT !== this.#me || (state & WANTED) !== 0)) {
        if ((state & WANTED) !== 0 || this.#swap(slot, state, state | WANTED)) return false;
        continue;
      }
      if (!this.#swap(slot, state, free ? (this.#me << OWNER_SHIFT) | 1 : state + 1)) continue;
      if (free && Atomics.exchange(this.#last, slot, this.#me) !== this.#me) Atomics.add(this.#turns, slot, 1);
      return true;
    }
  }

  /** Tells whoever has it that it is wanted. */
  want(slot: number): void {
    for (;;) {
      const state = Atomics.load(this.#states, slot);
      if (state === 0 || (state & WANTED) !== 0 || this.#swap(slot, state, state | WANTED)) return;
    }
  }

  /** Claims it once it is free. @throws ClaimLateError */
  async wait(slot: number, msMax = WAIT_MS_MAX): Promise<void> {
    for (const untilMs = performance.now() + msMax; ; ) {
      if (this.take(slot)) return;
      const state = Atomics.load(this.#states, slot);
      if (state === 0 || (state & WANTED) === 0) continue;
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) throw new ClaimLateError("another thread did not let go of it");
      await this.#changed(slot, state, leftMs);
    }
  }

  release(slot: number): void {
    for (;;) {
      const state = Atomics.load(this.#states, slot);
      const last = (state & COUNT) === 1;
      if (!this.#swap(slot, state, last ? 0 : state - 1)) continue;
      if (last && (state & WANTED) !== 0) Atomics.notify(this.#states, slot);
      return;
    }
  }

  /** Lets go of all that a thread had which is no more. */
  freeAll(thread: number): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      const state = Atomics.load(this.#states, slot);
      if (state === 0 || state >>> OWNER_SHIFT !== thread + 1) continue;
      Atomics.store(this.#states, slot, 0);
      Atomics.notify(this.#states, slot);
    }
  }

  #swap(slot: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.#states, slot, from, to) === from;
  }

  /** Owners count down while it is waited for: it is looked at when one lets go of it, and now and then. */
  async #changed(slot: number, state: number, leftMs: number): Promise<void> {
    const waiting = Atomics.waitAsync(this.#states, slot, state, leftMs);
    await waiting.value;
  }
}

/** What one run has claimed. */
export class Holding {
  readonly #claims: StateClaims;
  readonly #slots = new Set<number>();

  constructor(claims: StateClaims) {
    this.#claims = claims;
  }

  /** Claims what a name is in; one after the other. @returns undefined where it is claimed already. @throws ClaimLateError */
  claim(name: string, msMax?: number): Promise<void> | undefined {
    const slot = this.#claims.slotOf(name);
    if (this.#slots.has(slot)) return undefined;
    if (this.#claims.take(slot)) {
      this.#slots.add(slot);
      return undefined;
    }
    return this.#claims.wait(slot, msMax).then(() => {
      this.#slots.add(slot);
    });
  }

  release(): void {
    for (const slot of this.#slots) this.#claims.release(slot);
    this.#slots.clear();
  }

  /** Nobody claims any of it, this thread included, before all that is claimed of it now is released. */
  drain(): void {
    for (const slot of this.#slots) this.#claims.want(slot);
  }
}
