// Reads query parameters strictly: an unknown or misspelt one is pointed out, never ignored.
import { RequestError, type RequestFault } from "../../core/errors.ts";
import { IDENTIFIER_PATTERN } from "../../core/schema/base.ts";
import { escapeToken } from "../../core/schema/explain.ts";
import { timeMs } from "../../core/time.ts";

/** One parameter: how it is read, and how the API's description shows it. */
export interface Parameter<T = unknown> {
  /** @returns undefined where the text is none. */
  readonly read: (text: string) => T | undefined;
  /** Completes "must be …". */
  readonly what: string;
  readonly description: string;
  /** JSON Schema. */
  readonly schema: object;
}

export type Parameters = Readonly<Record<string, Parameter>>;
export type Query<P extends Parameters = Parameters> = {
  readonly [N in keyof P]?: P[N] extends Parameter<infer T> ? T : never;
};

const IDENTIFIER = new RegExp(IDENTIFIER_PATTERN);
const WHOLE = /^(?:0|[1-9]\d{0,14})$/;

/** Spec request: identifiers. */
export const isIdentifier = (text: string): boolean => IDENTIFIER.test(text);

export const identifier = (description: string): Parameter<string> => ({
  read: (text) => (isIdentifier(text) ? text : undefined),
  what: "1 to 253 letters, digits and -._:/@",
  description,
  schema: { type: "string", pattern: IDENTIFIER_PATTERN },
});

export const whole = (
  minimum: number,
  maximum: number,
  description: string,
  byDefault?: number,
): Parameter<number> => ({
  read: (text) => (WHOLE.test(text) && Number(text) >= minimum && Number(text) <= maximum ? Number(text) : undefined),
  what: `a whole number from ${minimum} to ${maximum}`,
  description,
  schema: { type: "integer", minimum, maximum, ...(byDefault !== undefined && { default: byDefault }) },
});

export const time = (description: string): Parameter<string> => ({
  read: (text) => (timeMs(text) === undefined ? undefined : text),
  what: "an RFC 3339 time with zone, e.g. 2026-11-23T00:15:00Z (a + in it is written %2B)",
  description,
  schema: { type: "string", format: "date-time" },
});

export const choice = <const V extends readonly string[]>(
  values: V,
  description: string,
  byDefault?: V[number],
): Parameter<V[number]> => ({
  read: (text) => values.find((value) => value === text),
  what: `one of ${values.join(", ")}`,
  description,
  schema: { type: "string", enum: [...values], ...(byDefault !== undefined && { default: byDefault }) },
});

export const flag = (description: string): Parameter<boolean> => ({
  read: (text) => (text === "true" ? true : text === "false" ? false : undefined),
  what: "true or false",
  description,
  schema: { type: "boolean", default: false },
});

/** A place in a listing, as an earlier answer's `next` gave it; what it says is between `read` and the one who wrote it. */
export const cursor = <T>(read: (text: string) => T | undefined): Parameter<T> => ({
  read,
  what: "the `next` of an earlier answer",
  description: "Continues a listing: the `next` of the answer before.",
  schema: { type: "string" },
});

const NONE: Query = Object.freeze({});

/**
 * The query of a request target.
 * @throws RequestError 422 with a fault `/query/<name>` for each that is unknown, given twice, or not what it must be.
 */
export function readQuery<P extends Parameters>(target: string, parameters: P): Query<P> {
  const start = target.indexOf("?");
  if (start === -1) return NONE as Query<P>;
  const values: Record<string, unknown> = {};
  const faults: RequestFault[] = [];
  for (const [name, text] of new URLSearchParams(target.slice(start + 1))) {
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    const fault = (message: string) => faults.push({ pointer: `/query/${escapeToken(name)}`, message });
    if (parameter === undefined) fault("unknown query parameter");
    else if (Object.hasOwn(values, name)) fault("given twice");
    else if ((values[name] = parameter.read(text)) === undefined) fault(`must be ${parameter.what}`);
  }
  if (faults.length > 0) throw new RequestError(422, faults);
  return values as Query<P>;
}

/** What is asked for with a query; where a member of it is at fault, the fault is the query's. */
export async function inQuery<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    throw new RequestError(
      error.status,
      error.errors.map(({ pointer, message }) => ({ pointer: `/query${pointer}`, message })),
      { cause: error },
    );
  }
}

/** A parameter that contradicts the rest of the request. */
export const invalid = (name: string, message: string): RequestError =>
  new RequestError(422, [{ pointer: `/query/${name}`, message }]);
