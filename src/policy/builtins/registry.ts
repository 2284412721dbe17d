// Which builtins there are, where each is, and why others are not. Families are loaded when a policy calls one of them.
import type { Builtins } from "./operands.ts";

interface Family {
  readonly load: () => Promise<{ readonly builtins: Builtins }>;
  readonly names: readonly string[];
}

const FAMILIES: readonly Family[] = [
  {
    load: () => import("./collections.ts"),
    names: [
      "cast_array",
      "cast_boolean",
      "cast_null",
      "cast_object",
      "cast_set",
      "cast_string",
      "graph.reachable_paths",
      "numbers.range_step",
      "object.subset",
    ],
  },
  {
    load: () => import("./encoding.ts"),
    names: [
      "base64url.encode_no_pad",
      "hex.decode",
      "hex.encode",
      "uri.is_valid",
      "uri.parse",
      "urlquery.decode",
      "urlquery.decode_object",
      "urlquery.encode",
      "urlquery.encode_object",
    ],
  },
  {
    load: () => import("./hashes.ts"),
    names: [
      "crypto.hmac.equal",
      "crypto.hmac.md5",
      "crypto.hmac.sha1",
      "crypto.hmac.sha256",
      "crypto.hmac.sha512",
      "crypto.md5",
      "crypto.sha1",
      "crypto.sha256",
    ],
  },
  {
    load: () => import("./jwt.ts"),
    names: [
      "io.jwt.decode",
      "io.jwt.decode_verify",
      ...[
        "rs256",
        "rs384",
        "rs512",
        "ps256",
        "ps384",
        "ps512",
        "es256",
        "es384",
        "es512",
        "hs256",
        "hs384",
        "hs512",
      ].map((algorithm) => `io.jwt.verify_${algorithm}`),
      "io.jwt.verify_eddsa",
    ],
  },
  { load: () => import("./globs.ts"), names: ["glob.quote_meta"] },
  { load: () => import("./json.ts"), names: ["json.marshal_with_options", "json.patch"] },
  {
    load: () => import("./net.ts"),
    names: ["net.cidr_contains_matches", "net.cidr_expand", "net.cidr_is_valid", "net.cidr_merge"],
  },
  {
    load: () => import("./regex.ts"),
    names: ["regex.find_n", "regex.globs_match", "regex.replace", "regex.split", "regex.template_match"],
  },
  { load: () => import("./schemas.ts"), names: ["json.match_schema", "json.verify_schema"] },
  { load: () => import("./semver.ts"), names: ["semver.compare", "semver.is_valid"] },
  { load: () => import("./sprintf.ts"), names: ["sprintf"] },
  {
    load: () => import("./strings.ts"),
    names: ["indexof_n", "strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.split_n"],
  },
  { load: () => import("./templates.ts"), names: ["strings.render_template"] },
  {
    load: () => import("./time.ts"),
    names: [
      "time.add_date",
      "time.clock",
      "time.date",
      "time.diff",
      "time.format",
      "time.parse_duration_ns",
      "time.parse_ns",
      "time.parse_rfc3339_ns",
      "time.weekday",
    ],
  },
  { load: () => import("./units.ts"), names: ["units.parse", "units.parse_bytes"] },
  { load: () => import("./uuid.ts"), names: ["uuid.parse"] },
  { load: () => import("./yaml.ts"), names: ["yaml.is_valid", "yaml.marshal", "yaml.unmarshal"] },
];

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
