// Names of the policies that a verifier held evidence to: as it wrote them, and hashes also as digests, so that they can be pinned either way.
import { base64 } from "./base64.ts";

/** By the length of a hash in bytes. */
const HASHES = new Map([
  [32, "sha256"],
  [48, "sha384"],
  [64, "sha512"],
]);
const HEX = /^[0-9a-fA-F]+$/;

/** The name, and where it is a hash in base64 or hex, `sha256:<hex>` or its like. */
export function verifierPolicy(name: string): string[] {
  const bytes = HEX.test(name) && name.length >= 64 ? Buffer.from(name, "hex") : base64(name)?.bytes;
  const algorithm = bytes && HASHES.get(bytes.length);
  return algorithm === undefined ? [name] : [name, `${algorithm}:${Buffer.from(bytes!).toString("hex")}`];
}
