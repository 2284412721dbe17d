// Turns at what only so many may do at once, and of which no tenant may have all.
import { HttpError } from "./problem.ts";
import type { ProblemCode } from "./problems.ts";
import type { Peer } from "./peer.ts";

export interface TurnLimits {
  readonly max: number;
  /** Of one tenant. */
  readonly tenantMax: number;
}

interface Turn extends Disposable {
  readonly tenantId: string | null;
  readonly peer: Peer;
}

export class Turns {
  readonly #limits: TurnLimits;
  readonly #refusal: { readonly code: ProblemCode; readonly retryS: number };
  readonly #taken = new Set<Turn>();

  constructor(limits: TurnLimits, refusal: { code: ProblemCode; retryS: number }) {
    this.#limits = limits;
    this.#refusal = refusal;
  }

  get count(): number {
    return this.#taken.size;
  }

  /**
   * Takes a turn, until it is disposed of. Where all are taken, one whose peer keeps it waiting is taken away.
   * @param tenantId for whom; null: for no tenant in particular, which only who may act for any can say.
   * @throws HttpError 503, with Retry-After
   */
  take(tenantId: string | null, peer: Peer): Disposable {
    const { max, tenantMax } = this.#limits;
    const own = tenantId === null ? [] : [...this.#taken].filter((turn) => turn.tenantId === tenantId);
    if (own.length >= tenantMax) this.#claim(own, `this tenant has ${tenantMax}, as many as one may`);
    else if (this.#taken.size >= max) this.#claim([...this.#taken], `${max} are under way, as many as there may be`);
    const turn: Turn = { tenantId, peer, [Symbol.dispose]: () => void this.#taken.delete(turn) };
    this.#taken.add(turn);
    return turn;
  }

  /** Takes one away from whoever does not use it. */
  #claim(turns: readonly Turn[], why: string): void {
    const now = performance.now();
    const idle = turns.find(({ peer }) => peer.mustYield(now));
    const { code, retryS } = this.#refusal;
    if (idle === undefined)
      throw new HttpError(code, `Ask again when one is over: ${why}.`, { "Retry-After": String(retryS) });
    this.#taken.delete(idle);
    idle.peer.giveUp();
  }
}
