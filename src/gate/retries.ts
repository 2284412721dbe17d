// Retries: a command sent again under the same key is answered as it was the first time, and not carried out twice.
//
// What came of a command commits with its event, so it is there exactly when the command took place, however the node
// ended. The event and its record lie in the store anyway; beside them only the plain outcome is kept.
import { KeyReusedError } from "../core/errors.ts";
import { eventTextOf } from "../core/event.ts";
import type { Receipt } from "../evidence/ledger/ledger.ts";
import type { StatePlace, StateWrite, StoreReader } from "../store/store.ts";

/** That a call may come again. */
export interface Retry {
  /** Chosen by the caller; keys are apart by tenant. It has no space. */
  readonly key: string;
  /** Of all that the caller asked for. */
  readonly digest: string;
}

/** What came of a command, and its event as it is recorded. */
export interface Told<O> {
  readonly outcome: O;
  readonly receipt: Receipt;
}

/** Called once a command is decided; what it returns commits with the command's event. */
export type Remember = (outcome: unknown, eventId: string) => StateWrite[];

interface Stored {
  readonly digest: string;
  readonly event_id: string;
  readonly outcome: unknown;
  readonly kept_until_ms: number;
}

/** How long a retry is answered so. */
export const KEPT_MS = 24 * 60 * 60 * 1000;
/** Expired outcomes that are deleted with each new one: more than one, so that they become fewer. */
const DELETED_AT_ONCE = 4;

export class Retries {
  readonly #reader: StoreReader;
  readonly #now: () => number;
  /** Commands under way: a retry that overtakes its answer waits for it. */
  readonly #underWay = new Map<string, { digest: string; told: Promise<Told<unknown>> }>();

  /** @param now milliseconds since the epoch. */
  constructor(reader: StoreReader, now: () => number) {
    this.#reader = reader;
    this.#now = now;
  }

  /**
   * Carries out a command, or tells what came of it before. A command that leaves no event leaves nothing to be told, and
   * the next try is the first again.
   * @throws KeyReusedError
   */
  async once<O>(
    tenantId: string,
    { key, digest }: Retry,
    carryOut: (remember: Remember) => Promise<Told<O>>,
  ): Promise<Told<O>> {
    const name = `${tenantId} ${key}`;
    const first = () => this.#underWay.get(name);
    const stored = first() ? undefined : await this.#stored(tenantId, key);
    const expired = stored || first() ? [] : await this.#reader.due("answer", this.#now(), DELETED_AT_ONCE);
    const underWay = first();
    if (underWay) {
      mustBeSame(key, digest, underWay.digest);
      return underWay.told as Promise<Told<O>>;
    }
    if (stored) {
      mustBeSame(key, digest, stored.digest);
      return this.#again<O>(stored);
    }
    const writes = (outcome: unknown, eventId: string): StateWrite[] => [
      ...expired.map(forgotten(this.#now())),
      this.#write(tenantId, key, { digest, event_id: eventId, outcome }),
    ];
    const told = carryOut(writes).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, { digest, told });
    return told;
  }

  async #stored(tenantId: string, key: string): Promise<Stored | undefined> {
    const text = await this.#reader.state("answer", tenantId, key);
    if (text === undefined) return undefined;
    const stored = JSON.parse(text) as Stored;
    return this.#now() < stored.kept_until_ms ? stored : undefined;
  }

  async #again<O>({ event_id, outcome }: Stored): Promise<Told<O>> {
    const { record, position } = (await this.#reader.event(event_id))!;
    return { outcome: outcome as O, receipt: { record, position, eventText: eventTextOf(record) } };
  }

  #write(tenant_id: string, key: string, told: Omit<Stored, "kept_until_ms">): StateWrite {
    const due_ms = this.#now() + KEPT_MS;
    const stored: Stored = { ...told, kept_until_ms: due_ms };
    return { kind: "answer", tenant_id, key, value: JSON.stringify(stored), due_ms, ref: told.event_id };
  }
}

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
