// Canonical JSON (RFC 8785) as the verifier writes it to compare with what is stored: apart from the writer's code.

const DEPTH_MAX = 256;

/** The canonical text; undefined for what has none: numbers beyond ±(2^53−1), lone surrogates, nesting deeper than 256. */
export function canonicalText(value: unknown): string | undefined {
  try {
    return textOf(value, 0);
  } catch (error) {
    if (error instanceof NoCanonicalText) return undefined;
    throw error;
  }
}

class NoCanonicalText extends Error {}

/** The canonical text of an object, and the same without one of its members. */
export function canonicalWithout(
  value: Readonly<Record<string, unknown>>,
  omitted: string,
): { whole: string; without: string } | undefined {
  try {
    const names = Object.keys(value).sort();
    const members = names.map((name) => `${stringText(name)}:${textOf(value[name], 1)}`);
    const rest = members.filter((_, index) => names[index] !== omitted);
    return { whole: `{${members.join(",")}}`, without: `{${rest.join(",")}}` };
  } catch (error) {
    if (error instanceof NoCanonicalText) return undefined;
    throw error;
  }
}

function textOf(value: unknown, depth: number): string {
  if (depth > DEPTH_MAX) throw new NoCanonicalText();
  if (typeof value === "string") return stringText(value);
  if (typeof value === "number") return numberText(value);
  if (value === null || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, depth + 1)).join(",")}]`;
  if (typeof value !== "object") throw new NoCanonicalText();
  const object = value as Record<string, unknown>;
  const members = Object.keys(object)
    .sort()
    .map((name) => `${stringText(name)}:${textOf(object[name], depth + 1)}`);
  return `{${members.join(",")}}`;
}

function numberText(value: number): string {
  if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) throw new NoCanonicalText();
  return JSON.stringify(value);
}

function stringText(value: string): string {
  if (!value.isWellFormed()) throw new NoCanonicalText();
  return JSON.stringify(value);
}
