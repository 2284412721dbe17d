// crypto.*: digests and message authentication codes.
import { hmac } from "@noble/hashes/hmac.js";
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { hexOf } from "./encoding.ts";
import { type Builtins, text } from "./operands.ts";
import { encodeText } from "./utf8.ts";
import type { Value } from "./value.ts";

export const HASHES = { SHA256: sha256, SHA384: sha384, SHA512: sha512 };

type Hash = Parameters<typeof hmac>[0];

const digestBy = (hash: Hash) => (value?: Value) => hexOf(hash(encodeText(text(value, 1))));
const hmacBy = (hash: Hash) => (value?: Value, key?: Value) =>
  hexOf(hmac(hash, encodeText(text(key, 2)), encodeText(text(value, 1))));

export const builtins: Builtins = {
  // Text has one encoding here, so the same text is the same bytes; nothing secret is compared that a policy does not hold.
  "crypto.hmac.equal": (one, other) => text(one, 1) === text(other, 2),
  "crypto.hmac.md5": hmacBy(md5),
  "crypto.hmac.sha1": hmacBy(sha1),
  "crypto.hmac.sha256": hmacBy(sha256),
  "crypto.hmac.sha512": hmacBy(sha512),
  "crypto.md5": digestBy(md5),
  "crypto.sha1": digestBy(sha1),
  "crypto.sha256": digestBy(sha256),
};
