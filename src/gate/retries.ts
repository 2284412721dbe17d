// Retries: a command sent again under the same key is answered as it was the first time, and not carried out twice.
//
// What came of a command commits with its event, so it is there exactly when the command took place, however the node
// ended. The event and its record lie in the store anyway; beside them only the plain outcome is kept.
import { EvidenceUnavailableError, KeyReusedError } from "../core/errors.ts";
import { ClaimLateError, type Holding } from "../evidence/ledger/claims.ts";
import { eventTextOf } from "../core/event.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import type { StatePlace, StateRead, StateWrite, StoreReader } from "../store/store.ts";

/** That a call may come again. */
export interface Retry {
  /** Chosen by the caller; keys are apart by tenant. Printable. */
  readonly key: string;
  /** Of all that the caller asked for. */
  readonly digest: string;
}

/** What came of a command, and its event as it is recorded. */
export interface Told<O> {
  readonly outcome: O;
  readonly receipt: Receipt;
}

/** Called once a command of the call is decided, with its place in it; what it returns commits with the command's event. */
export interface Remember {
  (place: number, outcome: unknown, eventId: string): StateWrite[];
  /** Where others may carry out the same call at the same time: what they would change. */
  readonly basis: readonly StateRead[];
}

/** What came of the first command of a call; what came of the others lies beside it, each under its place. */
interface Stored {
  readonly digest: string;
  readonly event_id: string;
  readonly outcome: unknown;
  readonly kept_until_ms: number;
  /** How many others; absent: none. */
  readonly more?: number;
}

type StoredOther = Pick<Stored, "event_id" | "outcome">;

/** How long a retry waits for what another thread carries out. */
const UNDER_WAY_MS_MAX = 30_000;
/** How long a retry is answered so. */
export const KEPT_MS = 24 * 60 * 60 * 1000;
/** Expired outcomes that are deleted with each new one: more than one, so that they become fewer. */
const DELETED_AT_ONCE = 4;

export class Retries {
  readonly #reader: StoreReader;
  readonly #now: () => number;
  /** Calls under way: a retry that overtakes its answer waits for it. */
  readonly #underWay = new Map<string, { digest: string; told: Promise<Told<unknown>[]> }>();
  readonly #hold: () => Holding | undefined;

  /**
   * @param now milliseconds since the epoch.
   * @param hold where other threads carry out commands, too.
   */
  constructor(reader: StoreReader, now: () => number, hold: () => Holding | undefined = () => undefined) {
    this.#reader = reader;
    this.#now = now;
    this.#hold = hold;
  }

  /**
   * Carries out a call, or tells what came of it before: all of its commands commit together. A call that leaves no event leaves
   * nothing to be told, and the next try is the first again.
   * @param tenants of its commands; the key is the first one's.
   * @throws KeyReusedError
   */
  async once<O>(
    tenants: readonly [string, ...string[]],
    { key, digest }: Retry,
    carryOut: (remember: Remember) => Promise<Told<O>[]>,
  ): Promise<Told<O>[]> {
    const name = `${tenants[0]} ${key}`;
    const holding = this.#hold();
    try {
      await holding?.claim(`answer ${name}`, UNDER_WAY_MS_MAX);
      return await this.#once(name, tenants, { key, digest }, carryOut);
    } catch (error) {
      if (error instanceof ClaimLateError)
        throw new EvidenceUnavailableError(`the first request under the key ${key} is still being decided`);
      throw error;
    } finally {
      holding?.release();
    }
  }

  async #once<O>(
    name: string,
    tenants: readonly [string, ...string[]],
    { key, digest }: Retry,
    carryOut: (remember: Remember) => Promise<Told<O>[]>,
  ): Promise<Told<O>[]> {
    const first = () => this.#underWay.get(name);
    const version = first() || !this.#reader.shared ? undefined : await this.#version(tenants[0], key);
    const before = first() ? undefined : await this.#before(tenants, key);
    const forgets = before?.told || first() ? 0 : DELETED_AT_ONCE * tenants.length;
    const expired = forgets === 0 ? [] : await this.#reader.due("answer", this.#now(), forgets);
    const underWay = first();
    if (underWay) {
      mustBeSame(key, digest, underWay.digest);
      return underWay.told as Promise<Told<O>[]>;
    }
    if (before?.told) return this.#again<O>(key, digest, before.told);
    const writes = (place: number, outcome: unknown, event_id: string): StateWrite[] => [
      ...(place === 0 ? expired.map(forgotten(this.#now())) : []),
      place === 0
        ? this.#write(
            tenants[0],
            key,
            {
              digest,
              event_id,
              outcome,
              kept_until_ms: this.#now() + KEPT_MS,
              ...(tenants.length > 1 && { more: tenants.length - 1 }),
            },
            version,
          )
        : this.#write(tenants[place]!, placeIn(key, place), { event_id, outcome }),
    ];
    const kept = { kind: "answer", tenant_id: tenants[0], key } as const;
    const remember = Object.assign(writes, { basis: version === undefined ? [] : [{ ...kept, version }] });
    const told = this.#carriedOut(tenants, { key, digest }, () => carryOut(remember)).finally(() =>
      this.#underWay.delete(name),
    );
    this.#underWay.set(name, { digest, told });
    return told;
  }

  /** Where another replica was first with the same call, what came of it there is what is told. */
  async #carriedOut<O>(
    tenants: readonly [string, ...string[]],
    { key, digest }: Retry,
    carryOut: () => Promise<Told<O>[]>,
  ): Promise<Told<O>[]> {
    try {
      return await carryOut();
    } catch (error) {
      if (!(error instanceof EvidenceUnavailableError)) throw error;
      const elsewhere = await this.#before(tenants, key).catch(() => undefined);
      if (elsewhere?.told === undefined) throw error;
      return this.#again<O>(key, digest, elsewhere.told);
    }
  }

  /** What is kept under a key; `told` undefined where that is too old, or not whole any more. */
  async #before(
    tenants: readonly [string, ...string[]],
    key: string,
  ): Promise<{ told?: [Stored, ...StoredOther[]] } | undefined> {
    const text = await this.#reader.state("answer", tenants[0], key);
    if (text === undefined) return undefined;
    const stored = JSON.parse(text) as Stored;
    if (this.#now() >= stored.kept_until_ms) return {};
    const told: [Stored, ...StoredOther[]] = [stored];
    // Of another call there may be more or fewer; then it is no retry, whatever they are.
    for (let place = 1; place <= Math.min(stored.more ?? 0, tenants.length - 1); place++) {
      const other = await this.#reader.state("answer", tenants[place]!, placeIn(key, place));
      if (other === undefined) return {};
      told.push(JSON.parse(other) as StoredOther);
    }
    return { told };
  }

  async #again<O>(key: string, digest: string, told: [Stored, ...StoredOther[]]): Promise<Told<O>[]> {
    mustBeSame(key, digest, told[0].digest);
    const again: Told<O>[] = [];
    for (const { event_id, outcome } of told) {
      const { record, position } = (await this.#reader.event(event_id))!;
      again.push({ outcome: outcome as O, receipt: { record, position, eventText: eventTextOf(record) } });
    }
    return again;
  }

  /** Read first: what is kept after that is another version. */
  async #version(tenantId: string, key: string): Promise<number> {
    return (await this.#reader.read("answer", tenantId, key))?.version ?? 0;
  }

  /** @param version that it had before, where others may write it as well. */
  #write(tenant_id: string, key: string, told: Stored | StoredOther, version?: number): StateWrite {
    const due_ms = this.#now() + KEPT_MS;
    const write: StateWrite = {
      kind: "answer",
      tenant_id,
      key,
      value: JSON.stringify(told),
      due_ms,
      ref: told.event_id,
    };
    return version === undefined ? write : { ...write, version: version + 1 };
  }
}

/** No key that a caller chooses has a line's end. */
const placeIn = (key: string, place: number): string => `${key}\n${place}`;

/** Unless it was written anew meanwhile. */
const forgotten =
  (nowMs: number) =>
  ({ tenant_id, key }: StatePlace): StateWrite => ({ kind: "answer", tenant_id, key, value: null, due_ms: nowMs });

/** What must go with an event's artifact when that is erased: what is kept for a retry tells of the decision as well. */
export async function forgetOutcome(reader: StoreReader, tenant_id: string, eventId: string): Promise<StateWrite[]> {
  const kept = await reader.referring("answer", tenant_id, eventId);
  return kept.map(({ key }): StateWrite => ({ kind: "answer", tenant_id, key, value: null }));
}

function mustBeSame(key: string, digest: string, before: string): void {
  if (digest !== before)
    throw new KeyReusedError(
      `The key ${key} was used before, for another request; give each request a key of its own.`,
    );
}
