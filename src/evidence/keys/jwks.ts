// The public keys that a node's records verify with, as others take them: a JWKS (RFC 7517).
import type { KeyRow } from "../../store/store.ts";

/** A JWKS: public keys, retired ones with `retired_at`. */
export interface PublicKeys {
  readonly keys: { readonly [member: string]: unknown }[];
}

/** Current and retired keys that sign or signed events, those of nodes whose streams are kept here as well. */
export function publicKeys(keys: readonly KeyRow[]): PublicKeys {
  return {
    keys: keys
      .filter(({ role }) => role === "event" || role === "peer")
      .map(({ jwk, retired_at_ms: retired }) => ({
        ...jwk,
        ...(retired !== null && { retired_at: new Date(retired).toISOString() }),
      })),
  };
}

/** Named members only: nothing that is not meant to be seen can slip through. */
export function publicJwk({ kty, crv, x, kid, alg, use }: { readonly [member: string]: unknown }) {
  return { kty, crv, x, kid, alg, use };
}
