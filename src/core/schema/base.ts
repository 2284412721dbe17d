// The words that the schemas are written in: closed objects, identifiers, times, durations, digests, tokens.
import Type, { type TObject, type TProperties, type TSchema } from "typebox";
import { DIGEST_PATTERN } from "../digest.ts";
import { durationS, timeMs } from "../time.ts";

/** The largest integer that JSON carries safely between implementations (RFC 8259 §6). */
export const INTEGER_MAX = Number.MAX_SAFE_INTEGER;
export const TOKEN_LENGTH_MAX = 64 * 1024;
const TEXT_LENGTH_MAX = 4096;

/** An object that has these members and no other. */
export function closed<P extends TProperties>(properties: P, options: object = {}): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** A member that may be absent. */
export const optional = Type.Optional;

/** One of these strings. */
export function oneOf<const V extends readonly string[]>(
  values: V,
  options: object = {},
): ReturnType<typeof Type.Unsafe<V[number]>> {
  return Type.Unsafe<V[number]>({ type: "string", enum: [...values], ...options });
}

/** This, or null. */
export const nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

/** A list of at most `max` of these. */
export const listOf = <S extends TSchema>(schema: S, max: number, options: object = {}) =>
  Type.Array(schema, { maxItems: max, ...options });

/**
 * 1 to 253 letters, digits and `-._:/@`; neither `.` nor `..`. Written without look-ahead, which RE2 (OPA, Go clients)
 * lacks; the length is in the pattern so that one test settles it.
 */
const NO_DOT = "[A-Za-z0-9_:/@-]";
const ANY = "[A-Za-z0-9._:/@-]";
export const IDENTIFIER_PATTERN = `^(?:${NO_DOT}${ANY}{0,252}|\\.${NO_DOT}${ANY}{0,251}|\\.\\.${ANY}{1,251})$`;

export const Identifier = Type.String({
  pattern: IDENTIFIER_PATTERN,
  description: "1 to 253 letters, digits and -._:/@, other than . and ..",
});

export const Time = Type.Refine(
  Type.String({ maxLength: 64, description: "an RFC 3339 time with zone, e.g. 2026-11-23T00:15:00Z" }),
  (text) => timeMs(text) !== undefined,
);

export const Duration = Type.Refine(
  Type.String({ maxLength: 64, description: "an ISO 8601 duration, e.g. PT15M" }),
  (text) => durationS(text) !== undefined,
);

export const Jurisdiction = Type.String({
  pattern: "^(?:[A-Z]{2}|EEA)$",
  description: "an ISO 3166-1 alpha-2 code in capitals, EU or EEA",
});

/** A digest; those of artifacts in requests are `Text`, since a rule judges them. */
export const Digest = Type.String({ pattern: `^${DIGEST_PATTERN}$`, description: "sha256: and 64 hex digits" });

export const Text = Type.String({ maxLength: TEXT_LENGTH_MAX });

/** A compact JWS or JWT, unverified: the rules judge what is wrong with it. */
export const TokenSchema = Type.String({ maxLength: TOKEN_LENGTH_MAX, description: "a compact JWS of at most 64 KiB" });

export const Count = Type.Integer({ minimum: 0, maximum: INTEGER_MAX });

/** Milliseconds since the epoch. */
export const EpochMs = Type.Integer();

export const ENVELOPE_KINDS = ["container", "vm", "tee"] as const;
export const LEVELS = ["shared", "process_isolated", "sandbox_isolated", "hardware_isolated"] as const;
export const OUTCOMES = ["accepted", "refused"] as const;
export const WORKLOAD_STATES = ["admitted", "created", "running", "stopped", "destroyed"] as const;
export const TRANSITIONS = ["create", "start", "stop", "destroy"] as const;
export const REFUSAL_CLASSES = [
  "policy_denied",
  "authority_missing_or_invalid",
  "jurisdiction_denied",
  "delegation_invalid",
  "evidence_precondition_failed",
  "dependency_unavailable_fail_closed",
] as const;

export const EnvelopeKind = oneOf(ENVELOPE_KINDS);
export const Level = oneOf(LEVELS);
export type Level = (typeof LEVELS)[number];
export type EnvelopeKind = (typeof ENVELOPE_KINDS)[number];
export type WorkloadState = (typeof WORKLOAD_STATES)[number];
