// io.jwt.*: tokens decoded and verified with keys and a time that the policy gives, as OPA does it (v1/topdown/tokens.go; RFC 7515, RFC 7519).
import { hmac } from "@noble/hashes/hmac.js";
import { decodeBase64Url } from "./base64.ts";
import { compareDecimals } from "./decimal.ts";
import { hexOf } from "./encoding.ts";
import { BuiltinError, HaltError } from "./errors.ts";
import { HASHES } from "./hashes.ts";
import { ALGORITHMS, type Algorithm, isAlgorithm, keysOf, sameBytes, type VerificationKey, verifies } from "./keys.ts";
import { type Builtin, type Builtins, object, text } from "./operands.ts";
import { parseJson } from "./text.ts";
import { decodeText, encodeText } from "./utf8.ts";
import { RegoNumber, RegoObject, type Value } from "./value.ts";

export const builtins: Builtins = {
  "io.jwt.decode": (token) => decode(text(token, 1)),
  "io.jwt.decode_verify": (token, constraints) => decodeVerify(text(token, 1), constraintsOf(object(constraints, 2))),
  ...Object.fromEntries(
    ALGORITHMS.map((algorithm) => [`io.jwt.verify_${algorithm.toLowerCase()}`, verifier(algorithm)]),
  ),
};

const NESTING_MAX = 16;

interface Token {
  readonly header: RegoObject;
  /** What is signed. */
  readonly signed: Uint8Array;
  readonly payload: string;
  readonly signature: string;
}

function parseToken(token: string): Token {
  const parts = token.split(".");
  if (parts.length === 1) throw new BuiltinError("encoded JWT had no period separators");
  if (parts.length !== 3) throw new BuiltinError(`encoded JWT must have 3 sections, found ${parts.length}`);
  const [head, payload, signature] = parts as [string, string, string];
  const header = jsonObject(decodeText(decodeBase64Url(head)));
  if (header.has("enc")) throw new BuiltinError("JWT is a JWE object, which is not supported");
  return { header, signed: encodeText(`${head}.${payload}`), payload, signature };
}

function jsonObject(json: string): RegoObject {
  const value = parseJson(json);
  if (value instanceof RegoObject) return value;
  throw new BuiltinError("decoded JSON type was not an Object");
}

const payloadOf = ({ payload }: Token): string => decodeText(decodeBase64Url(payload));

function decode(given: string, depth = 0): Value {
  if (depth > NESTING_MAX) throw new HaltError(`the token holds tokens ${NESTING_MAX} deep`);
  const token = parseToken(given);
  const payload = payloadOf(token);
  if (token.header.get("cty") === "JWT") return decode(payload.replace(/^["']+/, "").replace(/["']+$/, ""), depth + 1);
  return [token.header, jsonObject(payload), hexOf(decodeBase64Url(token.signature))];
}

interface Header {
  readonly algorithm: string;
  readonly keyId: string;
  readonly contentType: string;
  /** It asks for what nobody here understands. */
  readonly critical: boolean;
}

const KNOWN = ["alg", "kid", "typ", "cty", "crit"];

function headerOf({ header }: Token): Header {
  const member = (name: string): string => {
    const value = header.get(name) ?? "";
    if (typeof value !== "string") throw new BuiltinError(`${name}: must be a string`);
    return value;
  };
  member("typ");
  const crit = header.get("crit");
  if (crit !== undefined && !Array.isArray(crit)) throw new BuiltinError("crit: must be a list");
  const named = ((crit ?? []) as Value[]).filter((name) => typeof name === "string");
  if (crit !== undefined && named.length === 0) throw new BuiltinError("crit: must be a nonempty list");
  const critical = named.some((name) => header.has(name) && !KNOWN.includes(name));
  return { algorithm: member("alg"), keyId: member("kid"), contentType: member("cty"), critical };
}

function verifier(algorithm: Algorithm): Builtin {
  if (algorithm.startsWith("HS"))
    return (token, secret) => {
      const [given, key] = [text(token, 1), encodeText(text(secret, 2))];
      const parts = given.split(".");
      if (parts.length !== 3) throw new BuiltinError(`encoded JWT must have 3 sections, found ${parts.length}`);
      const hash = HASHES[`SHA${algorithm.slice(2)}` as keyof typeof HASHES];
      return sameBytes(decodeBase64Url(parts[2]!), hmac(hash, key, encodeText(`${parts[0]}.${parts[1]}`)));
    };
  return (given, certificate) => {
    const parts = text(given, 1).split(".");
    if (parts.length !== 3) throw new BuiltinError(`encoded JWT must have 3 sections, found ${parts.length}`);
    const keys = keysOf(text(certificate, 2));
    const signature = decodeBase64Url(parts[2]!);
    const token = parseToken(parts.join("."));
    const header = headerOf(token);
    return candidates(keys, header).some(({ key }) => verifies(algorithm, key, token.signed, signature, false));
  };
}

/** The key that the token names, where it is there; else all that may be of its algorithm. */
function candidates(keys: readonly VerificationKey[], header: Header): readonly VerificationKey[] {
  const named = header.keyId === "" ? undefined : keys.find(({ id }) => id === header.keyId);
  if (named !== undefined) return [named];
  return keys.filter(({ algorithm }) => algorithm === "" || algorithm === header.algorithm);
}

interface Constraints {
  readonly keys: readonly VerificationKey[] | undefined;
  readonly secret: string;
  readonly algorithm: string;
  readonly issuer: string;
  readonly audience: string;
  /** Seconds, as OPA computes them from nanoseconds; undefined where the policy gives none. */
  readonly time: string | undefined;
}

const CONSTRAINTS = ["cert", "secret", "alg", "iss", "aud", "time"];

function constraintsOf(given: RegoObject): Constraints {
  for (const [name] of given.entries())
    if (!CONSTRAINTS.includes(name as string))
      throw new BuiltinError(`unknown token validation constraint: ${String(name)}`);
  const member = (name: string): string => {
    const value = given.get(name) ?? "";
    if (typeof value !== "string") throw new BuiltinError(`${name} constraint: must be a string`);
    return value;
  };
  const keys = given.has("cert") ? keysOf(member("cert")) : undefined;
  const [secret, time] = [member("secret"), timeOf(given.get("time"))];
  if (keys !== undefined && secret !== "") throw new BuiltinError("duplicate key constraints");
  if (keys === undefined && secret === "") throw new BuiltinError("no key constraint");
  return { keys, secret, algorithm: member("alg"), issuer: member("iss"), audience: member("aud"), time };
}

function timeOf(time: Value | undefined): string | undefined {
  if (time === undefined) return undefined;
  if (!(time instanceof RegoNumber)) throw new BuiltinError("token time constraint: must be a number");
  const nanoseconds = Number(time.text);
  if (!Number.isFinite(nanoseconds)) throw new BuiltinError("token time constraint: unvalid float64");
  if (nanoseconds < 0) throw new BuiltinError("token time constraint: must not be negative");
  return String(nanoseconds / 1e9);
}

const UNVERIFIED: Value = [false, new RegoObject(), new RegoObject()];

function decodeVerify(given: string, constraints: Constraints): Value {
  let token = parseToken(given);
  for (let depth = 0; ; depth++) {
    if (depth > NESTING_MAX) throw new HaltError(`the token holds tokens ${NESTING_MAX} deep`);
    const header = headerOf(token);
    if (header.algorithm === "" || header.critical) return UNVERIFIED;
    if (constraints.algorithm !== "" && constraints.algorithm !== header.algorithm) return UNVERIFIED;
    if (!isVerified(token, header, constraints)) return UNVERIFIED;
    if (header.contentType.toUpperCase() !== "JWT") break;
    token = parseToken(payloadOf(token));
  }
  const payload = jsonObject(payloadOf(token));
  return claimsHold(payload, constraints) ? [true, token.header, payload] : UNVERIFIED;
}

function isVerified(token: Token, header: Header, { keys, secret }: Constraints): boolean {
  const signature = decodeBase64Url(token.signature);
  const { algorithm } = header;
  if (!isAlgorithm(algorithm)) return false;
  const trusted = keys === undefined ? [secretKey(secret)] : candidates(keys, header);
  return trusted.some(({ key }) => verifies(algorithm, key, token.signed, signature, true));
}

const secretKey = (secret: string): VerificationKey => ({
  algorithm: "",
  id: "",
  key: { type: "secret", bytes: encodeText(secret) },
});

/** Issuer, audience and the time between "nbf" and "exp" (RFC 7519 §4.1). */
function claimsHold(payload: RegoObject, { issuer, audience, time }: Constraints): boolean {
  if (issuer !== "" && payload.get("iss") !== issuer) return false;
  const claimed = payload.get("aud");
  const audiences = Array.isArray(claimed) ? (claimed as Value[]) : [claimed];
  if (claimed === undefined ? audience !== "" : !audiences.includes(audience)) return false;
  const [expiry, start] = [timeClaim(payload, "exp"), timeClaim(payload, "nbf")];
  if (expiry === undefined && start === undefined) return true;
  // OPA would take its own clock, and the answer would be another one tomorrow.
  if (time === undefined)
    throw new HaltError(
      "io.jwt.decode_verify needs the constraint time for a token with exp or nbf: there is no clock",
    );
  if (expiry !== undefined && compareDecimals(time, expiry) >= 0) return false;
  return start === undefined || compareDecimals(time, start) >= 0;
}

function timeClaim(payload: RegoObject, name: string): string | undefined {
  const claim = payload.get(name);
  if (claim === undefined || claim instanceof RegoNumber) return claim?.text;
  throw new BuiltinError(`${name} value must be a number`);
}
