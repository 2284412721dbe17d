// What the verifier needs of cryptography, by node:crypto.
import { createHash, createPublicKey, verify, type KeyObject } from "node:crypto";
import { sha256 } from "../../core/sha256.ts";
import type { Primitives } from "./primitives.ts";

/** node:crypto's, several times as fast as WebCrypto's. */
export const NODE_PRIMITIVES: Primitives = {
  sha256,
  sha256Stream() {
    const stream = createHash("sha256");
    return { update: (data) => void stream.update(data), digest: () => stream.digest() };
  },
  verifyEd25519(publicKey, message, signature) {
    try {
      return verify(null, message, keyOf(publicKey), signature);
    } catch {
      return false;
    }
  },
  async verifyEd25519Pieces(publicKey, message, signature) {
    const { verifyEd25519Pieces } = await import("./ed25519-pieces.ts");
    return verifyEd25519Pieces(publicKey, message, signature);
  },
};

const keys = new Map<string, KeyObject>();
const KEYS_KEPT_MAX = 64;

function keyOf(publicKey: Uint8Array): KeyObject {
  const x = Buffer.from(publicKey).toString("base64url");
  let key = keys.get(x);
  if (key === undefined) {
    if (keys.size >= KEYS_KEPT_MAX) keys.clear();
    keys.set(x, (key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })));
  }
  return key;
}
