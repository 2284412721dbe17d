// Retries: a command sent again under the same key is answered as it was the first time, and not carried out twice.
//
// What is kept commits with the command's event, so it is there exactly when the command took place, however the node
// ended. The event and its record lie in the store anyway; beside them only what the door made of the outcome is kept.
import { KeyReusedError } from "../core/errors.ts";
import { eventTextOf } from "../core/event.ts";
import type { Receipt } from "../evidence/ledger/ledger.ts";
import type { StateWrite, StoreReader } from "../store/store.ts";

/** A request that may come again. */
export interface Retryable {
  readonly tenantId: string;
  /** Chosen by the caller; keys are apart by tenant. An identifier, which has no space. */
  readonly key: string;
  /** Of all that the caller asked for. */
  readonly digest: string;
}

/** A command's event, as it is recorded. */
export type Recorded = Pick<Receipt, "record" | "eventText" | "position">;

/** How a command was answered: what the door made of its outcome, and the proof. */
export interface Answered<K> {
  readonly kept: K;
  readonly receipt: Recorded;
}

/** Called once the command is decided; what it returns commits with the command's event. */
export type Keep<K> = (kept: K, eventId: string) => StateWrite[];

interface Stored<K> {
  readonly digest: string;
  readonly event_id: string;
  readonly kept: K;
}

/** How long a retry is answered so. */
export const KEPT_MS = 24 * 60 * 60 * 1000;
/** Expired answers that are deleted with each new one: more than one, so that they become fewer. */
const DELETED_AT_ONCE = 4;
const ANSWERS_READ = 1000;

/** @typeParam K what is kept of an outcome; plain JSON. */
export class Idempotency<K> {
  readonly #reader: StoreReader;
  readonly #now: () => number;
  /** Commands under way: a retry that overtakes its answer waits for it. */
  readonly #underWay = new Map<string, { digest: string; answer: Promise<Answered<K>> }>();

  /** @param now milliseconds since the epoch. */
  constructor(reader: StoreReader, now: () => number) {
    this.#reader = reader;
    this.#now = now;
  }

  /**
   * Carries out a command, or answers as before. A command that leaves no event leaves nothing to be answered with, and
   * the next try is the first again.
   * @throws KeyReusedError
   */
  async once(request: Retryable, carryOut: (keep: Keep<K>) => Promise<Answered<K>>): Promise<Answered<K>> {
    const name = `${request.tenantId} ${request.key}`;
    const first = this.#underWay.get(name);
    if (first) {
      mustBeSame(request, first.digest);
      return first.answer;
    }
    const stored = this.#stored(request);
    if (stored) {
      mustBeSame(request, stored.digest);
      return this.#again(stored);
    }
    const answer = carryOut((kept, eventId) => this.#writes(request, kept, eventId)).finally(() =>
      this.#underWay.delete(name),
    );
    this.#underWay.set(name, { digest: request.digest, answer });
    return answer;
  }

  #stored({ tenantId, key }: Retryable): Stored<K> | undefined {
    const text = this.#reader.state("answer", tenantId, key);
    if (text === undefined) return undefined;
    const { kept_until_ms, ...stored } = JSON.parse(text) as Stored<K> & { kept_until_ms: number };
    return this.#now() < kept_until_ms ? stored : undefined;
  }

  #again({ event_id, kept }: Stored<K>): Answered<K> {
    const { record, position } = this.#reader.event(event_id)!;
    return { kept, receipt: { record, position, eventText: eventTextOf(record) } };
  }

  #writes({ tenantId, key, digest }: Retryable, kept: K, eventId: string): StateWrite[] {
    const due_ms = this.#now() + KEPT_MS;
    // A key under way is about to be written anew, and a later write must not be undone by what was due before it.
    const expired = this.#reader
      .due("answer", this.#now(), DELETED_AT_ONCE)
      .filter((old) => !this.#underWay.has(`${old.tenant_id} ${old.key}`));
    const stored = { digest, event_id: eventId, kept, kept_until_ms: due_ms };
    return [
      ...expired.map((old): StateWrite => ({ kind: "answer", tenant_id: old.tenant_id, key: old.key, value: null })),
      { kind: "answer", tenant_id: tenantId, key, value: JSON.stringify(stored), due_ms },
    ];
  }
}

/** What must go with an event's artifact when that is erased: the answer kept for a retry tells of the decision as well. */
export function forgetAnswer(reader: StoreReader, tenantId: string, eventId: string): StateWrite[] {
  const found: StateWrite[] = [];
  let after: { tenant_id: string; key: string } | undefined;
  do {
    const page = reader.states("answer", tenantId, ANSWERS_READ, after);
    for (const { key, value } of page) {
      if ((JSON.parse(value) as Stored<unknown>).event_id === eventId)
        found.push({ kind: "answer", tenant_id: tenantId, key, value: null });
    }
    after = page.length < ANSWERS_READ ? undefined : page.at(-1);
  } while (after);
  return found;
}

function mustBeSame({ key, digest }: Retryable, before: string): void {
  if (digest !== before)
    throw new KeyReusedError(
      `The key ${key} was used before, for another request; give each request a key of its own.`,
    );
}
