// Whether a key can be pinned: public, and such that a signature can be verified with it.
import { createPublicKey } from "node:crypto";
import { algorithmsOf, type KeyUse } from "./algorithms.ts";

/** Why it is no public key that can be pinned; undefined where it is one, or one for other ends, which is passed over. */
export function problemWithJwk(key: unknown): string | undefined {
  if (typeof key !== "object" || key === null) return "is not an object";
  const jwk = key as KeyUse & Record<string, unknown>;
  if (jwk["kty"] === "oct" || "k" in jwk) return "is a shared secret: whoever verifies with it could sign with it";
  if ("d" in jwk) return "is a private key; give the public one, and treat the private one as known to others";
  if (algorithmsOf(jwk).length === 0) return undefined;
  try {
    createPublicKey({ key: jwk as never, format: "jwk" });
    return undefined;
  } catch {
    return "can't be used as a public key";
  }
}
