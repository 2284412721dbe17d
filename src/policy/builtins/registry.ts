// Which builtins there are, where each is, and why others are not. Families are loaded when a policy calls one of them.
import type { Builtins } from "./operands.ts";

interface Family {
  readonly load: () => Promise<{ readonly builtins: Builtins }>;
  readonly names: readonly string[];
}

const FAMILIES: readonly Family[] = [];

/** Builtins whose answer is not a function of their operands, so that no decision could be checked by running it again. */
const NOT_DETERMINISTIC: { readonly [name: string]: string } = {
  "http.send": "it asks the network",
  "io.jwt.encode_sign": "a signature may be random",
  "io.jwt.encode_sign_raw": "a signature may be random",
  "net.lookup_ip_addr": "it asks the network",
  "opa.runtime": "it tells of the process",
  "rand.intn": "it is random",
  "time.now_ns": "it reads the clock; take the time from the input",
  trace: "it has effects beyond its result",
  "uuid.rfc4122": "it is random",
};

/** Every builtin that the host adds to those that WASM has itself. */
export const HOST_BUILTINS: readonly string[] = FAMILIES.flatMap(({ names }) => names).sort();

/** Why the host does not have it; undefined where it has. */
export function whyRefused(name: string): string | undefined {
  if (HOST_BUILTINS.includes(name)) return undefined;
  return Object.hasOwn(NOT_DETERMINISTIC, name)
    ? `not deterministic: ${NOT_DETERMINISTIC[name]}`
    : "not available here";
}

/** Loads what a policy calls. @param names all of which the host has. */
export async function loadBuiltins(names: readonly string[]): Promise<Builtins> {
  const wanted = FAMILIES.filter((family) => family.names.some((name) => names.includes(name)));
  const loaded = await Promise.all(wanted.map(({ load }) => load()));
  return Object.assign({}, ...loaded.map(({ builtins }) => builtins)) as Builtins;
}
