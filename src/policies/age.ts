// How old a policy is: since its source last confirmed it, or older than any limit once it has expired (spec law §6).
import type { Policy } from "../policy/policy.ts";

/** Of a policy that has expired: no limit in data can be larger, whatever its source confirms. */
export const EXPIRED_AGE_S = Number.MAX_SAFE_INTEGER;

/** A clock that was set back by less than this shows no age below nothing; by more, the age is refused as none. */
const SET_BACK_S_MAX = 60;

/** @returns whole seconds; null: it has no remote source, so no age. */
export function policyAgeS(
  { policy, confirmedAtMs }: { readonly policy: Policy | null; readonly confirmedAtMs: number | null },
  nowMs: number,
): number | null {
  if (policy !== null && hasExpired(policy, nowMs)) return EXPIRED_AGE_S;
  if (confirmedAtMs === null) return null;
  const ageS = Math.floor((nowMs - confirmedAtMs) / 1000);
  return ageS < 0 && ageS >= -SET_BACK_S_MAX ? 0 : ageS;
}

const hasExpired = ({ expiresMs }: Policy, nowMs: number): boolean => expiresMs !== null && nowMs >= expiresMs;
