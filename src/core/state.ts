// State by key: what a command needs to know, and what it changes. Where it is kept, and what versions it has, is the store's.

export type StateOf = "workload" | "placed" | "mesh" | "namespace" | "challenge" | "token";

/**
 * - `one`: what is kept at this key.
 * - `all`: an array of what is kept at keys that begin so.
 * - `least`: of all that refer to this, the one of least rank.
 *
 * What is `all` or `least` has no version of its own: whoever needs it needs the `one` that changes with it.
 */
export interface Need {
  readonly how: "one" | "all" | "least";
  readonly kind: StateOf;
  readonly tenant_id: string;
  readonly key: string;
  /** Tells it from any other; identifiers have no space. */
  readonly name: string;
}

/** The state that a command is decided on. */
export interface Reads {
  /** null where there is none. Only what was said to be needed may be asked for. */
  get<T>(need: Need): T | null;
  /** Whether it was read; only then it can be told what else is needed. */
  has(need: Need): boolean;
  /** How often what is kept there has changed, for a need of `one`; 0 where there never was any. */
  version(need: Need): number;
}

/** What becomes of a piece of state; null: it goes. */
export interface Change {
  readonly at: Need;
  readonly value: unknown;
  /** When the host must look at it again, milliseconds since the epoch. */
  readonly due_ms?: number;
  readonly ref?: string;
  readonly rank?: number;
}

const need =
  (how: Need["how"]) =>
  (kind: StateOf, tenant_id: string, key: string): Need => ({
    how,
    kind,
    tenant_id,
    key,
    name: `${how} ${kind} ${tenant_id} ${key}`,
  });

export const one = need("one");
export const all = need("all");
export const least = need("least");

/** The state of whoever was never heard of. */
export const NO_STATE: Reads = { get: () => null, has: () => true, version: () => 0 };
