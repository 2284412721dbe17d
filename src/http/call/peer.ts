// What others may cost this process: how long it waits for the other side of a call, and how many bytes of bodies it holds.

export interface PeerLimits {
  /** For a body that is read as a whole. */
  readonly bodyMsMax: number;
  /** Between two parts of a longer body, or until a part of an answer is taken. */
  readonly waitMsMax: number;
  /** All waiting in one call together. */
  readonly waitsMsMax: number;
  /** What a peer that is waited for must move, once it has been waited for `paceAfterMs`. */
  readonly bytesPerSecondMin: number;
  readonly paceAfterMs: number;
  /** Whoever keeps others waiting for its turn may be waited for this long. */
  readonly yieldAfterMs: number;
  /** Bodies above this are looked at one by one. */
  readonly largeBytes: number;
  /** Bodies held at once, by all calls together, where no single body may be larger than half of it. */
  readonly heldBytesMax: number;
  readonly checkEveryMs: number;
}

const PEER_LIMITS: PeerLimits = {
  bodyMsMax: 30_000,
  waitMsMax: 10_000,
  waitsMsMax: 60 * 60_000,
  bytesPerSecondMin: 16 * 1024,
  paceAfterMs: 10_000,
  yieldAfterMs: 2000,
  largeBytes: 128 * 1024,
  heldBytesMax: 64 * 1024 * 1024,
  checkEveryMs: 1000,
};

/** All peers of a listener. */
export class Peers {
  readonly limits: PeerLimits;
  /** Those that are waited for. All are watched by one timer, since one for each would cost more than reading most bodies. */
  readonly #waiting = new Set<Peer>();
  /** Large bodies that are here, and wait to be looked at. */
  readonly #large: (() => void)[] = [];
  /** All others. */
  #small: (() => void)[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: Partial<PeerLimits> = {}) {
    this.limits = { ...PEER_LIMITS, ...limits };
  }

  watch(peer: Peer): void {
    this.#waiting.add(peer);
    this.#timer ??= setInterval(() => this.#check(), this.limits.checkEveryMs).unref();
  }

  unwatch(peer: Peer): void {
    this.#waiting.delete(peer);
  }

  /** @returns false, holding nothing, where it would be too much. */
  hold(bytes: number, bytesMax: number): boolean {
    if (this.#heldBytes + bytes > bytesMax) return false;
    this.#heldBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#heldBytes -= bytes;
  }

  /** Lets everything else that is ready go before: of large bodies one is looked at between two looks at all connections. */
  async large(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#large.push(resolve) === 1) setImmediate(() => this.#nextLarge());
    });
  }

  /**
   * Until all connections have been looked at once: what has come meanwhile is then worked on together, one step of all after the
   * other, since a step that was just taken is in the processor's caches.
   */
  async small(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#small.push(resolve) === 1) setImmediate(() => this.#allSmall());
    });
  }

  #allSmall(): void {
    const all = this.#small;
    this.#small = [];
    for (const begin of all) begin();
  }

  #nextLarge(): void {
    this.#large.shift()?.();
    if (this.#large.length > 0) setImmediate(() => this.#nextLarge());
  }

  #check(): void {
    const now = performance.now();
    for (const peer of this.#waiting) if (peer.isLate(now)) peer.giveUp();
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** The other side of one call. */
export class Peer {
  readonly #all: Peers;
  #waitedMs = 0;
  #movedBytes = 0;
  #heldBytes = 0;
  #wait: { readonly sinceMs: number; readonly msMax: number; readonly giveUp: () => void } | undefined;

  constructor(all: Peers) {
    this.#all = all;
  }

  /** From now on it is this peer's turn, until it has moved something. @param giveUp when it took too long; called once. */
  wait(giveUp: () => void, msMax: number): void {
    this.#wait = { sinceMs: performance.now(), msMax, giveUp };
    this.#all.watch(this);
  }

  /** It has sent or taken something, or will no more. */
  moved(bytes: number): void {
    this.#movedBytes += bytes;
    if (this.#wait === undefined) return;
    this.#waitedMs += performance.now() - this.#wait.sinceMs;
    this.#wait = undefined;
    this.#all.unwatch(this);
  }

  giveUp(): void {
    const wait = this.#wait;
    this.moved(0);
    wait?.giveUp();
  }

  /** Keeps bytes of it until `leave`. @param bodyBytesMax what a single body may have. @returns false where all calls hold too much already. */
  hold(bytes: number, bodyBytesMax: number): boolean {
    if (!this.#all.hold(bytes, heldBytesMax(this.#all.limits, bodyBytesMax))) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** Waits for a body's turn to be looked at. */
  turn(bytes: number): Promise<void> {
    return bytes > this.limits.largeBytes ? this.#all.large() : this.#all.small();
  }

  /** The call is over. */
  leave(): void {
    this.#all.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  get limits(): PeerLimits {
    return this.#all.limits;
  }

  isLate(nowMs: number): boolean {
    if (this.#wait === undefined) return false;
    const { waitsMsMax, paceAfterMs } = this.limits;
    const waitingMs = nowMs - this.#wait.sinceMs;
    const waitedMs = this.#waitedMs + waitingMs;
    return waitingMs > this.#wait.msMax || waitedMs > waitsMsMax || this.#isSlow(waitedMs, paceAfterMs);
  }

  /** Whether it is waited for, longer or more often than it may be when another one wants its turn. */
  mustYield(nowMs: number): boolean {
    if (this.#wait === undefined) return false;
    const { yieldAfterMs } = this.limits;
    const waitingMs = nowMs - this.#wait.sinceMs;
    return waitingMs > yieldAfterMs || this.#isSlow(this.#waitedMs + waitingMs, yieldAfterMs);
  }

  /** What is waited for as a whole has a time of its own: how much of it was moved is not told until all is. */
  #isSlow(waitedMs: number, afterMs: number): boolean {
    if (this.#wait!.msMax > this.limits.waitMsMax || waitedMs <= afterMs) return false;
    return this.#movedBytes < (this.limits.bytesPerSecondMin * (waitedMs - afterMs)) / 1000;
  }
}

/** Never so few that one body has no room. */
export const heldBytesMax = ({ heldBytesMax }: PeerLimits, bodyBytesMax: number): number =>
  Math.max(heldBytesMax, 2 * bodyBytesMax);
