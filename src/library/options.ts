// What a host opens a node with, checked as strictly as settings from a file: what a node signs must be fit to be exported.
import Type, { type TSchema } from "typebox";
import { ConfigError, RequestError } from "../core/errors.ts";
import { problemWithJwk } from "../core/public-jwk.ts";
import { parser } from "../core/request.ts";
import { closed, Identifier, oneOf, optional } from "../core/schema/base.ts";
import { EVIDENCE_PROFILES, LIMITS, LogName } from "../core/schema/limits.ts";
import { ATTESTATION_FORMATS } from "../core/schema/input.ts";
import { didYouMean } from "../core/settings.ts";
import type { NodeOptions } from "../node/options.ts";
import type { LocalSettings } from "./operations.ts";

const Text = Type.String({ pattern: "\\S", description: "a text that isn't empty" });
/** Looked at as far as it is data; keys in it are checked one by one. */
const Keys = Type.Array(Type.Record(Type.String(), Type.Unknown()), { description: "a list of public JWKs" });
const Any = Type.Unknown();

/** Options that are data, as a file's settings are checked. */
const DATA = {
  dataDir: Text,
  store: closed({
    url: Text,
    poolMax: optional(Type.Integer({ minimum: 1 })),
    wait: optional(Type.Boolean()),
  }),
  nodeId: Identifier,
  evidenceProfileId: oneOf(EVIDENCE_PROFILES),
  logOrigin: LogName,
  checkpointDir: Text,
  evaluationMsMax: LIMITS.properties.evaluation_ms_max,
  queueMax: LIMITS.properties.queue_max,
  afterRestore: Text,
  threads: Type.Boolean(),
  trust: closed({
    authorities: Type.Array(closed({ issuer: Text, jwks: Keys, root: Type.Boolean() })),
    attesters: Type.Array(
      closed({
        issuer: Text,
        jwks: Keys,
        format: optional(oneOf(ATTESTATION_FORMATS)),
        x5cRoots: optional(Text),
        audience: optional(Text),
        policies: optional(Type.Array(Text)),
        maxAgeS: optional(Type.Number({ exclusiveMinimum: 0 })),
      }),
    ),
    provenance: optional(
      closed({
        trustedRoot: Any,
        keys: Type.Array(closed({ id: Text, pem: Text })),
        identities: Type.Array(
          closed({
            issuer: Text,
            subject: Text,
            builder: optional(Text),
            source: optional(Text),
            build_types: optional(Type.Array(Text)),
            level: Type.Integer({ minimum: 0, maximum: 4 }),
          }),
        ),
        store: Type.Boolean(),
      }),
    ),
  }),
  witness: closed({ name: optional(LogName), logs: Type.Array(closed({ origin: Text, key: Any })) }),
  upstream: closed({
    access: Any,
    heartbeatMs: optional(Type.Integer({ minimum: 1 })),
    backoffMsMax: optional(Type.Integer({ minimum: 1 })),
  }),
  downstream: Type.Array(closed({ nodeId: Identifier, keys: optional(Keys), via: Type.Array(Identifier) })),
  retention: closed({
    artifacts: Type.Record(Type.String(), Type.Number({ minimum: 86_400 })),
    everyMs: optional(Type.Integer({ minimum: 1 })),
  }),
  labels: Type.Record(Type.String(), Type.String()),
  decisionLogs: closed({
    service: Text,
    resource: Text,
    minDelayS: Type.Number({ exclusiveMinimum: 0 }),
    maxDelayS: Type.Number({ exclusiveMinimum: 0 }),
    uploadSizeLimitBytes: Type.Integer({ minimum: 1 }),
    immediate: optional(Type.Boolean()),
  }),
  status: closed({ service: Text, resource: Text, everyMs: Type.Integer({ minimum: 1 }) }),
  partitionTimes: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
  artifacts: Type.Record(Type.String(), Type.Array(Text)),
} as const satisfies { readonly [name: string]: TSchema };

/** The others, by what they must be. */
const CODE = {
  bundle: isBundle,
  bundles: areBundles,
  settings: areSettings,
  settingsKeys: areKeys,
  bundleKeys: areKeys,
  services: areServices,
  eventKey: isKeySource,
  partition: isFunction,
  now: isFunction,
  observe: isObserver,
  namespaces: isNamespaceSource,
} as const;

type Option = keyof NodeOptions | keyof LocalSettings;
/** Each option is known here, or this does not compile. */
const KNOWN: Readonly<Record<Option, unknown>> = { ...DATA, ...CODE };

/** @throws ConfigError naming the option that is unknown, mistyped, or could never be exported. */
export function checkOptions(options: object): void {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [name] of given)
    if (!Object.hasOwn(KNOWN, name))
      throw new ConfigError(name, `unknown option${didYouMean(name, Object.keys(KNOWN))}`);
  for (const [name, value] of given) {
    const problem = CODE[name as keyof typeof CODE]?.(value);
    if (problem !== undefined) throw new ConfigError(name, `must be ${problem}`);
  }
  try {
    parseData(Object.fromEntries(given.filter(([name]) => Object.hasOwn(DATA, name))));
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const [{ pointer, message }] = error.errors as [{ pointer: string; message: string }];
    throw new ConfigError(pointer.slice(1).replaceAll("/", "."), message, { cause: error });
  }
  checkTrust((options as Partial<NodeOptions>).trust);
}

/** By a schema of those that are given: one of all takes longer to be made than the most that is given to be read. */
function parseData(given: { readonly [name: string]: unknown }): void {
  const schemas = Object.keys(given).map((name) => [name, DATA[name as keyof typeof DATA]]);
  parser(closed(Object.fromEntries(schemas) as { readonly [name: string]: TSchema }))(given);
}

function checkTrust({ provenance: _, ...pinned }: Partial<NonNullable<NodeOptions["trust"]>> = {}): void {
  for (const [kind, issuers] of Object.entries(pinned) as [string, { issuer: string; jwks: object[] }[]][])
    issuers.forEach(({ issuer, jwks }, index) => {
      const place = `trust.${kind}.${index}`;
      if (issuers.findIndex((other) => other.issuer === issuer) < index)
        throw new ConfigError(`${place}.issuer`, "appears twice; put its keys in one list");
      const problem = jwks.map(problemWithJwk).find((each) => each !== undefined);
      if (problem !== undefined) throw new ConfigError(`${place}.jwks`, `a key ${problem}`);
    });
}

/** What it must be; undefined where it is. */
type Problem = string | undefined;

function isFunction(value: unknown): Problem {
  return typeof value === "function" ? undefined : "a function";
}

function isObserver(value: unknown): Problem {
  const told = typeof value === "object" && value !== null ? Object.values(value) : [undefined];
  return told.every((each) => each === undefined || typeof each === "function") ? undefined : "an object of functions";
}

function isNamespaceSource(value: unknown): Problem {
  return typeof (value as { namespace?: unknown } | null)?.namespace === "function"
    ? undefined
    : "an object with a method `namespace`";
}

function isBundle(value: unknown): Problem {
  const { bytes, keys } = (value ?? {}) as { bytes?: unknown; keys?: unknown };
  return typeof bytes === "function" && typeof keys === "object" && keys !== null
    ? undefined
    : "`bytes`, a function, and `keys`, a JWKS or OPA's map of keys";
}

function areBundles(value: unknown): Problem {
  const all = Array.isArray(value)
    ? (value as { name?: unknown; bytes?: unknown; keys?: unknown; service?: unknown }[])
    : [{}];
  return all.every(
    ({ name, bytes, keys, service }) =>
      typeof name === "string" &&
      typeof keys === "object" &&
      (typeof bytes === "function" || typeof service === "string"),
  )
    ? undefined
    : "a list of bundles, each with `name`, `keys`, and `bytes` or `service`";
}

function areSettings(value: unknown): Problem {
  return typeof value === "string" || (typeof value === "object" && value !== null && !Array.isArray(value))
    ? undefined
    : "the path of a file, its bytes, or an object";
}

function areKeys(value: unknown): Problem {
  return typeof value === "object" && value !== null ? undefined : "a JWKS, or OPA's map of keys";
}

function areServices(value: unknown): Problem {
  const all = typeof value === "object" && value !== null ? Object.values(value) : [undefined];
  return all.every((each) => typeof (each as { url?: unknown } | undefined)?.url === "string")
    ? undefined
    : "services by name, each with its `url`";
}

function isKeySource(value: unknown): Problem {
  const { name, directory, read } = (value ?? {}) as { name?: unknown; directory?: unknown; read?: unknown };
  const one = (typeof directory === "string") !== (typeof read === "function");
  return typeof name === "string" && one ? undefined : "a `name`, and one of `directory` and `read`";
}
