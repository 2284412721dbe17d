// Which entrypoint answers a path of OPA's data API: the one that it names, or one above it, into whose value the rest of the path leads.

/** An entrypoint, and the way from its value to what was asked for. */
export interface Found {
  readonly entrypoint: string;
  readonly below: readonly string[];
}

/** The parts of an entrypoint's name; percent-decoded, since OPA names them as paths of URLs. */
export function partsOf(name: string): string[] {
  return name
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
}

/** The longest of the entrypoints that stand at the path or above it; undefined where none does. */
export function entrypointAt(entrypoints: readonly string[], path: readonly string[]): Found | undefined {
  let found: Found | undefined;
  for (const entrypoint of entrypoints) {
    const parts = partsOf(entrypoint);
    if (parts.length > path.length || parts.some((part, at) => part !== path[at])) continue;
    const below = path.slice(parts.length);
    if (found === undefined || below.length < found.below.length) found = { entrypoint, below };
  }
  return found;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
