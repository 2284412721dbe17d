// Which bundle a node runs: the one it is offered, unless that cannot be trusted or is older than the one it ran before (spec law §6).
import { BundleError } from "../core/errors.ts";
import { timeMs } from "../core/time.ts";
import { loadBundle, type LoadOptions, type Policy } from "../policy/policy.ts";

/** What is remembered of the policy that was activated last. */
export interface Activated {
  readonly digest: string;
  readonly revision: string;
  readonly sequence: number | null;
}

export interface Chosen {
  /** null: none can be used, and everything is refused (POL-01). */
  readonly policy: Policy | null;
  /** Why the bundle that was offered was not taken. */
  readonly rejected: BundleError | undefined;
}

/**
 * @param offered reads the bundle's bytes; whatever it throws counts as a bundle that cannot be read.
 * @param last what was activated last, if anything was.
 * @param stored the bytes of a bundle that was activated, by digest.
 */
export async function choosePolicy(
  offered: () => Uint8Array,
  options: LoadOptions,
  last: Activated | undefined,
  stored: (digest: string) => Uint8Array | undefined,
): Promise<Chosen> {
  const { policy, rejected } = await load(offered, options);
  if (!policy || !last || !isOlder(policy, last)) return { policy, rejected };
  const kept = await load(() => stored(last.digest) ?? new Uint8Array(), options);
  const what = kept.rejected ? `but that one can no longer be used: ${kept.rejected.message}` : "which stays";
  return {
    policy: kept.policy,
    rejected: new BundleError(
      "rollback",
      `the bundle (${nameOf(policy)}) is older than the one that was active (${nameOf(last)}), ${what}`,
    ),
  };
}

async function load(read: () => Uint8Array, options: LoadOptions): Promise<Chosen> {
  try {
    return { policy: await loadBundle(read(), options), rejected: undefined };
  } catch (error) {
    const rejected =
      error instanceof BundleError
        ? error
        : new BundleError("archive", `the bundle cannot be read: ${(error as Error).message}`, { cause: error });
    return { policy: null, rejected };
  }
}

/** By sequence where both have one, else by revision where both are times; where neither, rollback cannot be told. */
export function isOlder(offered: Omit<Activated, "digest">, active: Omit<Activated, "digest">): boolean {
  if (offered.sequence !== null && active.sequence !== null) return offered.sequence < active.sequence;
  const [offeredMs, activeMs] = [timeMs(offered.revision), timeMs(active.revision)];
  return offeredMs !== undefined && activeMs !== undefined && offeredMs < activeMs;
}

const nameOf = ({ revision, sequence }: Omit<Activated, "digest">): string =>
  `revision ${revision || "unnamed"}${sequence === null ? "" : `, sequence ${sequence}`}`;
