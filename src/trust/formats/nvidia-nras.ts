// NVIDIA's remote attestation (NRAS): a detached EAT bundle (RFC 9711 §5), whose overall token names the digest of each device's.
import { flag, hex, maybe, reading, record, text, Unreadable, type Claims } from "../claims.ts";
import type { Device, Format } from "./format.ts";
import { debugState, NOTHING_MORE, registered, within } from "./parts.ts";

/** The overall token alone: no platform of its own, and without its devices no verdict either. */
export const nvidiaNras: Format = {
  algorithms: ["ES384"],
  refersByDigest: true,
  read: reading((claims) => {
    overallOf(claims);
    return {
      ...NOTHING_MORE,
      ...registered(claims),
      platform_type: "gpu",
      result: "fail",
      debuggable: null,
      nonces: [[hex(claims.eat_nonce, NONCE_LENGTH)]],
    };
  }),
};

const NONCE_LENGTH = 64;
const SUBJECT = "NVIDIA-PLATFORM-ATTESTATION";

/** Whether all was well, and the SHA-256 of each device's token, hex, by the device's name. */
export type Overall = { readonly passed: boolean; readonly digests: ReadonlyMap<string, string> };

function overallOf(claims: Claims): Overall {
  if (text(claims.sub) !== SUBJECT) throw new Unreadable();
  const digests = Object.entries(within(claims, "submods")).map(([name, submod]) => [name, digestIn(submod)] as const);
  return { passed: flag(claims["x-nvidia-overall-att-result"]), digests: new Map(digests) };
}

/** `["DIGEST", ["SHA-256", hex]]` */
function digestIn(submod: unknown): string {
  const [kind, digest] = pair(submod);
  const [algorithm, value] = pair(digest);
  if (kind !== "DIGEST" || algorithm !== "SHA-256") throw new Unreadable();
  return hex(value, 64);
}

function pair(value: unknown): [unknown, unknown] {
  if (!Array.isArray(value) || value.length !== 2) throw new Unreadable();
  return value as [unknown, unknown];
}

export const readOverall = reading(overallOf);

/** The tokens of a detached bundle, `[["JWT", overall], {<device>: token}]`, unverified. Undefined where it is none. */
export const readBundle = reading(({ bundle }) => {
  const [overall, devices] = pair(bundle);
  const [kind, token] = pair(overall);
  if (kind !== "JWT") throw new Unreadable();
  const tokens = Object.entries(record(devices)).map(([name, each]) => [name, text(each)] as const);
  if (tokens.length === 0 || tokens.length > DEVICES_MAX) throw new Unreadable();
  return { overall: text(token), devices: new Map(tokens) };
});

const DEVICES_MAX = 32;

/** @param name under which the bundle has it: `GPU-0`, `SWITCH-1`. */
export const readDevice = (name: string, claims: Claims) => device({ name, claims });

/** What one device was found to be: well only where every step that the verifier tells of went well, whatever it says of the whole. */
const device = reading(({ name, claims: given }): Device & { nonce: string } => {
  const claims = record(given);
  const prefix = Object.keys(KINDS).find((each) => text(name).toUpperCase().startsWith(each));
  const holds = [
    text(claims.measres) === "success",
    maybe(debugState, claims.dbgstat) === false,
    maybe(flag, claims.secboot) !== false,
    ...Object.entries(claims).map(([claim, value]) => stepHeld(claim, value)),
  ];
  return {
    kind: prefix === undefined ? "unknown" : KINDS[prefix]!,
    model: maybe(text, claims.hwmodel),
    result: holds.every(Boolean) ? "pass" : "fail",
    nonce: hex(claims.eat_nonce, NONCE_LENGTH),
  };
});

const KINDS: { readonly [prefix: string]: string } = { GPU: "gpu", SWITCH: "switch", NVSWITCH: "switch" };

/** A step of the verifier's own, `x-nvidia-gpu-…`: a boolean that is false, or a certificate that is not valid or was revoked. */
function stepHeld(claim: string, value: unknown): boolean {
  if (!/^x-nvidia-(?:gpu|switch)-/.test(claim)) return true;
  if (typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return true;
  const { "x-nvidia-cert-status": status = "valid", "x-nvidia-cert-ocsp-status": ocsp = "good" } = value as Claims;
  return status === "valid" && ocsp === "good";
}
