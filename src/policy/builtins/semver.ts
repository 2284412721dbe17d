// semver.*: versions by Semantic Versioning 2.0.0, with an optional leading "v" as OPA takes it.
import { BuiltinError } from "./errors.ts";
import { type Builtins, text } from "./operands.ts";
import { RegoNumber } from "./value.ts";

export const builtins: Builtins = {
  "semver.compare": (a, b) => RegoNumber.of(compareVersions(parsed(text(a, 1), 1), parsed(text(b, 2), 2))),
  "semver.is_valid": (version) => typeof version === "string" && parseVersion(version) !== undefined,
};

interface Version {
  readonly numbers: readonly bigint[];
  readonly preRelease: string;
}

const VERSION = /^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([^+]*))?(?:\+(.*))?$/s;
const IDENTIFIERS = /^[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*$/;
const INT64_MAX = 2n ** 63n - 1n;

function parseVersion(version: string): Version | undefined {
  const [, major, minor, patch, preRelease, metadata] = VERSION.exec(version) ?? [];
  if (major === undefined) return undefined;
  if (metadata !== undefined && !IDENTIFIERS.test(metadata)) return undefined;
  if (preRelease !== undefined && !IDENTIFIERS.test(preRelease)) return undefined;
  if (preRelease?.split(".").some((identifier) => /^0\d+$/.test(identifier)) === true) return undefined;
  const numbers = [major, minor, patch].map((digits) => BigInt(digits!));
  return numbers.some((number) => number > INT64_MAX) ? undefined : { numbers, preRelease: preRelease ?? "" };
}

function parsed(version: string, position: number): Version {
  const found = parseVersion(version);
  if (found === undefined) throw new BuiltinError(`operand ${position}: string ${version} is not a valid SemVer`);
  return found;
}

function compareVersions(a: Version, b: Version): -1 | 0 | 1 {
  for (const [i, number] of a.numbers.entries()) {
    const other = b.numbers[i]!;
    if (number !== other) return number < other ? -1 : 1;
  }
  if (a.preRelease === b.preRelease) return 0;
  if (a.preRelease === "") return 1;
  if (b.preRelease === "") return -1;
  return comparePreReleases(a.preRelease.split("."), b.preRelease.split("."));
}

/** §11.4: numbers by value and below words, words by their characters, and more identifiers above fewer. */
function comparePreReleases(a: readonly string[], b: readonly string[]): -1 | 0 | 1 {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [left, right] = [a[i], b[i]];
    if (left === undefined) return -1;
    if (right === undefined) return 1;
    if (left === right) continue;
    const [leftNumber, rightNumber] = [left, right].map((identifier) => /^\d+$/.test(identifier));
    if (leftNumber !== rightNumber) return leftNumber ? -1 : 1;
    if (leftNumber) return BigInt(left) < BigInt(right) ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return 0;
}
