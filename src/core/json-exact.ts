// JSON read without rounding: whole numbers beyond 2^53−1, which a policy may answer, come as BigInt.

const WHOLE = /^-?\d+$/;

/** `JSON.parse` of ECMAScript 2025, whose reviver is told how a value was written. */
type ParseWithSource = (text: string, revive: (key: string, value: unknown, context: Source) => unknown) => unknown;
type Source = { readonly source?: string };

/** @throws SyntaxError it is no JSON. */
export function parseExact(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  return hasUnsafe(plain) ? (JSON.parse as ParseWithSource)(text, revived) : plain;
}

function revived(_key: string, value: unknown, { source }: Source): unknown {
  const unsafe = typeof value === "number" && !Number.isSafeInteger(value);
  return unsafe && source !== undefined && WHOLE.test(source) ? BigInt(source) : value;
}

function hasUnsafe(value: unknown): boolean {
  if (typeof value === "number") return Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return typeof value === "object" && value !== null && Object.values(value).some(hasUnsafe);
}
