// Reads the claims of verified tokens. What is there but can't be read makes the token malformed: never a default.
import { saysNothing } from "../core/text.ts";
import { timeMs } from "../core/time.ts";

export type Claims = Record<string, unknown>;

const LIST_MAX = 64;

/** Thrown by the readers below and caught by `reading`: the claims are not as they must be. */
export class Unreadable extends Error {}

/** A reader that gives undefined where the claims can't be read. */
export const reading =
  <T>(read: (claims: Claims) => T) =>
  (claims: Claims): T | undefined => {
    try {
      return read(claims);
    } catch (thrown) {
      if (thrown instanceof Unreadable) return undefined;
      throw thrown;
    }
  };

export function maybe<T>(read: (value: unknown) => T, value: unknown): T | null {
  return value === undefined ? null : read(value);
}

/** Not `??`: a null is given, and unreadable. */
export const firstGiven = (claim: unknown, other: unknown): unknown => (claim === undefined ? other : claim);

export function text(value: unknown): string {
  if (typeof value !== "string") throw new Unreadable();
  return value;
}

/** Text that shows nothing states nothing: as if it were absent. */
export function statement(value: unknown): string | null {
  const said = maybe(text, value);
  return said === null || saysNothing(said) ? null : said;
}

export function texts(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > LIST_MAX) throw new Unreadable();
  return value.map(text);
}

export function flag(value: unknown): boolean {
  if (typeof value !== "boolean") throw new Unreadable();
  return value;
}

/** RFC 3339, or seconds since the epoch. */
export function time(value: unknown): number {
  if (typeof value !== "string") return numericDate(value);
  const ms = timeMs(value);
  if (ms === undefined) throw new Unreadable();
  return ms;
}

/** The last millisecond that a date can hold (ECMA-262 §21.4.1.1). */
const TIME_MS_MAX = 8.64e15;

export function numericDate(value: unknown): number {
  if (typeof value !== "number" || Math.abs(value) * 1000 > TIME_MS_MAX) throw new Unreadable();
  return Math.trunc(value * 1000);
}

/** One value, or several (`aud`, `eat_nonce`). */
export function oneOrMore(value: unknown): string[] {
  return Array.isArray(value) ? texts(value) : [text(value)];
}

/** A claim that holds claims. */
export function record(value: unknown): Claims {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unreadable();
  return value as Claims;
}

const HEX = /^(?:[0-9a-fA-F]{2})+$/;
/** SHA-512, or the report data of a quote; twice as long in hex. */
const HEX_LENGTH_MAX = 256;

/** Hex, in lower case. @param length in digits; any where it is not given. */
export function hex(value: unknown, length?: number): string {
  const digits = text(value);
  if (digits.length > HEX_LENGTH_MAX || !HEX.test(digits)) throw new Unreadable();
  if (length !== undefined && digits.length !== length) throw new Unreadable();
  return digits.toLowerCase();
}

export function integer(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new Unreadable();
  return value as number;
}
