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

/**
 * An object's text without one of its members, if the text is canonical; undefined where it is not. Says what {@link canonicalWithout}
 * says, without building the text anew where it plainly is as it must be.
 */
export function textWithout(
  text: string,
  value: Readonly<Record<string, unknown>>,
  omitted: string,
): string | undefined {
  const cut = isPlainly(text, value) ? cutFrom(text, value, omitted) : undefined;
  if (cut !== undefined) return cut;
  const canonical = canonicalWithout(value, omitted);
  return canonical?.whole === text ? canonical.without : undefined;
}

/** JSON.stringify writes what RFC 8785 does, but for the order of members and what has no canonical text. */
const isPlainly = (text: string, value: unknown): boolean =>
  isOrdered(value, 0) && !text.includes(SURROGATE) && JSON.stringify(value) === text;

/** How JSON.stringify begins to write a lone surrogate. */
const SURROGATE = "\\ud";

function isOrdered(value: unknown, depth: number): boolean {
  if (typeof value === "number") return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (typeof value !== "object" || value === null) return true;
  if (depth > DEPTH_MAX) return false;
  if (Array.isArray(value)) return value.every((item) => isOrdered(item, depth + 1));
  let before: string | undefined;
  for (const name of Object.keys(value)) {
    if (before !== undefined && name <= before) return false;
    if (!isOrdered((value as Record<string, unknown>)[name], depth + 1)) return false;
    before = name;
  }
  return true;
}

/** Where nothing behind the member has members of its own, its name in quotes stands there for the last time: no text holds quotes unescaped. */
function cutFrom(text: string, value: Readonly<Record<string, unknown>>, omitted: string): string | undefined {
  const names = Object.keys(value);
  const at = names.indexOf(omitted);
  if (
    at === -1 ||
    at === names.length - 1 ||
    names.slice(at).some((name) => typeof value[name] === "object" && value[name] !== null)
  )
    return undefined;
  const member = `"${omitted}":${JSON.stringify(value[omitted])},`;
  const start = text.lastIndexOf(member);
  return start === -1 ? undefined : text.slice(0, start) + text.slice(start + member.length);
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
