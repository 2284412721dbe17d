// Whether a bundle may be used: it can be trusted, and is not older than the one before (spec law §6).
import { BundleError } from "../core/errors.ts";
import { timeMs } from "../core/time.ts";
import { DEFAULT_LIMITS, type EvaluationLimits } from "../policy/evaluator.ts";
import { loadBundle, type BundleKeys, type Policy } from "../policy/policy.ts";

/** Whose signature makes a bundle acceptable, and how large it may be. */
export interface BundleTerms {
  readonly keys: BundleKeys;
  readonly keyId?: string | undefined;
  readonly scope?: string | undefined;
  /** Largest bundle as it comes; unpacked it may be four times as large. */
  readonly sizeLimitBytes?: number | undefined;
}

/** Settings of an operator's own, laid over those of each policy that has some. */
export interface SettingsSource {
  /** Of a JSON or YAML file, or of a bundle of data. */
  readonly bytes: () => Uint8Array;
  /** Who may have signed the bundle. */
  readonly keys: BundleKeys;
}

/** What is remembered of the policy that was activated last. */
export interface Activated {
  readonly digest: string;
  readonly revision: string;
  readonly sequence: number | null;
  /** An operator chose it over the one that the source offered then, by the digest of that; null where there was none. */
  readonly over?: string | null;
  /** Digest of the settings that were laid over its own. */
  readonly settings?: string;
}

/** How much larger than packed a bundle may be (spec api §2, Bundles). */
const UNPACKED_FACTOR = 4;

/** @throws BundleError it cannot be trusted, or cannot be used. */
export async function loadUnder(
  bytes: Uint8Array,
  { keys, keyId, scope, sizeLimitBytes }: BundleTerms,
  limits: EvaluationLimits = DEFAULT_LIMITS,
  settings?: SettingsSource,
): Promise<Policy> {
  if (sizeLimitBytes !== undefined && bytes.length > sizeLimitBytes)
    throw new BundleError("archive", `the bundle has ${bytes.length} bytes, more than the ${sizeLimitBytes} allowed`);
  return loadBundle(bytes, {
    keys,
    limits,
    ...(keyId !== undefined && { keyId }),
    ...(scope !== undefined && { scope }),
    ...(settings && { settings: settings.bytes(), settingsKeys: settings.keys }),
    ...(sizeLimitBytes !== undefined && { unpackedBytesMax: sizeLimitBytes * UNPACKED_FACTOR }),
  });
}

/** Whatever is thrown while a bundle is read or loaded. */
export const asBundleError = (error: unknown): BundleError =>
  error instanceof BundleError
    ? error
    : new BundleError("archive", `the bundle cannot be read: ${(error as Error).message}`, { cause: error });

type Placed = Pick<Activated, "revision" | "sequence">;
type Known = Placed & Pick<Activated, "digest">;

/** By sequence where both have one, else by revision where both are times; where neither, rollback cannot be told. */
export function isOlder(offered: Placed, active: Placed): boolean {
  if (offered.sequence !== null && active.sequence !== null) return offered.sequence < active.sequence;
  const [offeredMs, activeMs] = [timeMs(offered.revision), timeMs(active.revision)];
  return offeredMs !== undefined && activeMs !== undefined && offeredMs < activeMs;
}

/** What an author should hear of two bundles with one sequence: they were to be told apart by it. */
export function twins(offered: Known, active: Known): string | undefined {
  if (offered.sequence === null || offered.sequence !== active.sequence || offered.digest === active.digest)
    return undefined;
  return `the bundle (${nameOf(offered)}) is taken after another of the same sequence (${nameOf(active)}), so it cannot be told which is older: give each its own`;
}

/** What its author should hear of a policy that decides admissions and has not all that a node asks of it. */
export function lacks(policy: Pick<Policy, "entrypoints" | "revision" | "sequence">): string | undefined {
  const has = (entrypoint: string) => policy.entrypoints.includes(`railgate/${entrypoint}/decision`);
  if (!has("admission") || has("reconciliation")) return undefined;
  return `the policy (${nameOf(policy)}) has no entrypoint railgate/reconciliation/decision: a node that decides by it never leaves a partition, and does not resolve what nodes have decided differently`;
}

/** @param what becomes of the one that was active. */
export const rollback = (offered: Placed, active: Placed, what: string): BundleError =>
  new BundleError(
    "rollback",
    `the bundle (${nameOf(offered)}) is older than the one that was active (${nameOf(active)}), ${what}`,
  );

const nameOf = ({ revision, sequence }: Placed): string =>
  `revision ${revision || "unnamed"}${sequence === null ? "" : `, sequence ${sequence}`}`;

/** Whether one of them is, or lies below, the other. */
export const overlap = (a: string, b: string): boolean => covers(a, b) || covers(b, a);

/** Whether a path of `data` lies within a root. */
export const covers = (root: string, path: string): boolean =>
  root === "" || path === root || path.startsWith(`${root}/`);
