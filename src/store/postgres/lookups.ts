// Pieces of state that are asked for at about the same time are one question to the database: most of what a question costs is that it is one.
import { stateName, type StatePlace, type StateKind, type StoredState } from "../store.ts";
import type { RunQuery } from "./connect.ts";

/** Questions under way; whatever else is asked for meanwhile is the next one's. */
const ASKED_MAX = 2;
const PLACES_MAX = 500;

const STATES = `
SELECT p.i, s.value, s.version FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS p (kind, tenant_id, key, i)
CROSS JOIN LATERAL (SELECT value, version FROM states WHERE kind = p.kind AND tenant_id = p.tenant_id AND key = p.key AND value IS NOT NULL OFFSET 0) AS s`;

interface Lookup extends StatePlace {
  readonly kind: StateKind;
  readonly found: PromiseWithResolvers<StoredState | undefined>;
}

export class StateLookups {
  readonly #query: RunQuery;
  /** By name. */
  readonly #waiting = new Map<string, Lookup>();
  #asked = 0;

  constructor(query: RunQuery) {
    this.#query = query;
  }

  /** As it is at some moment after this was called. */
  read(kind: StateKind, tenant_id: string, key: string): Promise<StoredState | undefined> {
    const name = stateName({ kind, tenant_id, key });
    let lookup = this.#waiting.get(name);
    if (lookup === undefined) {
      lookup = { kind, tenant_id, key, found: Promise.withResolvers() };
      this.#waiting.set(name, lookup);
      // Whatever else this turn asks for comes along.
      if (this.#waiting.size === 1) setImmediate(() => this.#ask());
    }
    return lookup.found.promise;
  }

  #ask(): void {
    while (this.#asked < ASKED_MAX && this.#waiting.size > 0) {
      const lookups = [...this.#waiting].slice(0, PLACES_MAX);
      for (const [name] of lookups) this.#waiting.delete(name);
      this.#asked++;
      void this.#answer(lookups.map(([, lookup]) => lookup)).then(() => {
        this.#asked--;
        this.#ask();
      });
    }
  }

  /** Never rejects. */
  async #answer(lookups: readonly Lookup[]): Promise<void> {
    try {
      const columns = [
        lookups.map(({ kind }) => kind),
        lookups.map(({ tenant_id }) => tenant_id),
        lookups.map(({ key }) => key),
      ];
      const states = new Map<unknown, StoredState>();
      for (const { i, value, version } of await this.#query(STATES, columns))
        states.set(i, { value: value as string, version: version as number });
      lookups.forEach(({ found }, i) => found.resolve(states.get(i + 1)));
    } catch (error) {
      for (const { found } of lookups) found.reject(error);
    }
  }
}
