// net.cidr_*: addresses and networks as Go's net package reads them.
import { BuiltinError, HaltError } from "./errors.ts";
import { type Builtins, text } from "./operands.ts";
import { RegoNumber, RegoObject, RegoSet, type Value } from "./value.ts";

export const builtins: Builtins = {
  "net.cidr_contains_matches": (cidrs, others) => containsMatches(cidrs!, others!),
  "net.cidr_expand": (cidr) => expand(network(text(cidr, 1))),
  "net.cidr_is_valid": (cidr) => typeof cidr === "string" && parseCidr(cidr) !== undefined,
  "net.cidr_merge": (networks) => merge(networks!),
};

/** Addresses that one call may make. */
const ADDRESSES_MAX = 1 << 20;
const MATCHES_MAX = 1_000_000;
const BITS = { 4: 32, 6: 128 } as const;

interface Address {
  /** An IPv4 address in IPv6 clothes (::ffff:0:0/96) is one of 4, as Go has it, but in a network of its own notation. */
  readonly version: 4 | 6;
  readonly bits: bigint;
}

interface Network extends Address {
  readonly prefix: number;
}

const MAPPED = 0xffffn;

export function parseV4(given: string): bigint | undefined {
  if (!/^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})$/.test(given)) return undefined;
  const parts = given.split(".").map(Number);
  return parts.some((part) => part > 255) ? undefined : parts.reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
}

export function parseV6(given: string): bigint | undefined {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(given);
  const v4 = dotted && parseV4(dotted[2]!);
  if (v4 === undefined) return undefined;
  const text = v4 === null ? given : `${dotted![1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [left, right = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - left!.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...left!, ...Array.from({ length: missing }, () => "0"), ...right];
  if (!groups.every((group) => /^[\da-fA-F]{1,4}$/.test(group))) return undefined;
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

function parseAddress(given: string): Address | undefined {
  const v4 = parseV4(given);
  if (v4 !== undefined) return { version: 4, bits: v4 };
  const v6 = parseV6(given);
  if (v6 === undefined) return undefined;
  return v6 >> 32n === MAPPED ? { version: 4, bits: v6 & 0xffffffffn } : { version: 6, bits: v6 };
}

function parseCidr(given: string): Network | undefined {
  const [, address, digits] = /^([^/]*)\/(\d+)$/.exec(given) ?? [];
  if (address === undefined) return undefined;
  const [v4, v6] = [parseV4(address), parseV6(address)];
  const version = v4 === undefined ? 6 : 4;
  const [bits, prefix] = [v4 ?? v6, Number(digits)];
  if (bits === undefined || prefix > BITS[version]) return undefined;
  // ::ffff:10.0.0.0/120 is 10.0.0.0/24.
  if (version === 6 && bits >> 32n === MAPPED && prefix >= 96)
    return { version: 4, bits: masked(bits & 0xffffffffn, 4, prefix - 96), prefix: prefix - 96 };
  return { version, bits: masked(bits, version, prefix), prefix };
}

function network(given: string): Network {
  const found = parseCidr(given);
  if (found === undefined) throw new BuiltinError(`invalid CIDR address: ${given}`);
  return found;
}

const hostMask = (version: 4 | 6, prefix: number): bigint => (1n << BigInt(BITS[version] - prefix)) - 1n;
const masked = (bits: bigint, version: 4 | 6, prefix: number): bigint => bits & ~hostMask(version, prefix);
const last = ({ version, bits, prefix }: Network): bigint => bits | hostMask(version, prefix);

function containsAddress({ version, bits, prefix }: Network, address: Address): boolean {
  return version === address.version && masked(address.bits, version, prefix) === bits;
}

/** Is it an address, or a network, that lies within? */
function contains(cidr: Network, other: string): boolean {
  const address = parseAddress(other);
  if (address !== undefined) return containsAddress(cidr, address);
  const inner = parseCidr(other);
  if (inner === undefined)
    throw new BuiltinError(`not a valid textual representation of an IP address or CIDR: ${other}`);
  return cidr.version === inner.version && cidr.prefix <= inner.prefix && containsAddress(cidr, inner);
}

function containsMatches(cidrs: Value, others: Value): RegoSet {
  const [left, right] = [candidates(cidrs, 1), candidates(others, 2)];
  if (left.length * right.length > MATCHES_MAX)
    throw new HaltError(`net.cidr_contains_matches compares more than ${MATCHES_MAX} pairs`);
  const matches: Value[] = [];
  for (const [cidr, index] of left) {
    if (right.length === 0) break;
    const outer = network(text(cidr, 1));
    for (const [other, otherIndex] of right) if (contains(outer, text(other, 1))) matches.push([index, otherIndex]);
  }
  return new RegoSet(matches);
}

/** The networks of an operand, each with what it is named by in a match. */
function candidates(operand: Value, position: number): readonly [cidr: Value, index: Value][] {
  const cidrOf = (item: Value): Value => {
    if (typeof item === "string") return item;
    if (Array.isArray(item) && item.length > 0) return (item as Value[])[0]!;
    throw new BuiltinError(`operand ${position}: element must be string or non-empty array`);
  };
  if (typeof operand === "string") return [[operand, operand]];
  if (Array.isArray(operand)) return (operand as Value[]).map((item, i) => [cidrOf(item), RegoNumber.of(i)]);
  if (operand instanceof RegoSet) return operand.items().map((item) => [cidrOf(item), item]);
  if (operand instanceof RegoObject) return operand.entries().map(([key, item]) => [cidrOf(item), key]);
  return [];
}

function expand(cidr: Network): RegoSet {
  const count = hostMask(cidr.version, cidr.prefix) + 1n;
  if (count > BigInt(ADDRESSES_MAX)) throw new HaltError(`net.cidr_expand makes more than ${ADDRESSES_MAX} addresses`);
  return new RegoSet(Array.from({ length: Number(count) }, (_, i) => shown(cidr.version, cidr.bits + BigInt(i))));
}

function shown(version: 4 | 6, bits: bigint): string {
  if (version === 4) return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 255n).join(".");
  if (bits >> 32n === MAPPED) return shown(4, bits & 0xffffffffn);
  const groups = Array.from({ length: 8 }, (_, i) => (bits >> BigInt(112 - 16 * i)) & 0xffffn);
  const run = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  return run === undefined
    ? hex.join(":")
    : `${hex.slice(0, run.from).join(":")}::${hex.slice(run.from + run.length).join(":")}`;
}

/** The first of the longest runs of two or more (RFC 5952). */
function longestZeros(groups: readonly bigint[]): { from: number; length: number } | undefined {
  let best: { from: number; length: number } | undefined;
  for (let from = 0; from < groups.length; from++) {
    let length = 0;
    while (groups[from + length] === 0n) length++;
    if (length >= 2 && length > (best?.length ?? 1)) best = { from, length };
  }
  return best;
}

interface Range {
  readonly version: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
  /** The network as given, while the range is still that. */
  readonly network: Network | undefined;
}

const order = (a: bigint, b: bigint): number => Number(a > b) - Number(a < b);

/** Neighbours and overlaps become one range, and a range as few networks as hold it. */
function merge(operand: Value): RegoSet {
  if (!Array.isArray(operand) && !(operand instanceof RegoSet)) throw new BuiltinError("operand must be an array");
  const items = operand instanceof RegoSet ? operand.items() : (operand as Value[]);
  const ranges = items
    .map(toNetwork)
    .map(
      (network): Range => ({
        version: network.version,
        first: masked(network.bits, network.version, network.prefix),
        last: last(network),
        network,
      }),
    )
    .sort((a, b) => a.version - b.version || order(a.last, b.last) || order(a.first, b.first));
  for (let i = ranges.length - 1; i > 0; i--) {
    const [before, range] = [ranges[i - 1]!, ranges[i]!];
    if (before.version !== range.version || range.first - 1n > before.last) continue;
    const [{ first }] = [before, range].sort((a, b) => order(a.first, b.first)) as [Range, Range];
    ranges.splice(i - 1, 2, { version: range.version, first, last: range.last, network: undefined });
  }
  return new RegoSet(ranges.flatMap(({ network, ...range }) => (network ? [cidrText(network)] : networksOf(range))));
}

const cidrText = ({ version, bits, prefix }: Network): string => `${shown(version, bits)}/${prefix}`;

/** A lone IPv4 address stands for the network of its class, as OPA takes it. */
function toNetwork(item: Value): Network {
  if (typeof item !== "string") throw new BuiltinError("element must be string");
  const address = parseAddress(item);
  if (address === undefined) return network(item);
  if (address.version === 6) throw new BuiltinError("IPv6 invalid: needs prefix length");
  const top = address.bits >> 24n;
  return { ...address, prefix: top < 128n ? 8 : top < 192n ? 16 : 24 };
}

function networksOf({ version, first, last }: Omit<Range, "network">): string[] {
  const networks: string[] = [];
  for (let from = first; from <= last; ) {
    let prefix: number = BITS[version];
    while (prefix > 0 && masked(from, version, prefix - 1) === from && (from | hostMask(version, prefix - 1)) <= last)
      prefix--;
    networks.push(cidrText({ version, bits: from, prefix }));
    from += hostMask(version, prefix) + 1n;
  }
  return networks;
}
