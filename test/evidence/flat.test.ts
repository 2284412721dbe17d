// What keeps a verification's memory flat: pages that go to disk, digests that are joined by sorting, and signatures over messages in pieces.
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import test from "ava";
import fc from "fast-check";
import { digestText, hexOf } from "../../src/core/digest.ts";
import { DigestMarks, KIND, LISTED, PRESENT, REFERENCED } from "../../src/evidence/verify/digest-marks.ts";
import { DiskPages } from "../../src/evidence/verify/disk-pages.ts";
import { signEd25519Pieces, verifyEd25519Pieces } from "../../src/evidence/verify/ed25519-pieces.ts";
import { IN_MEMORY, PAGE_BYTES, Rows, type PageStore, Spool } from "../../src/evidence/verify/pages.ts";

const sha256 = (text: string): Uint8Array => createHash("sha256").update(text).digest();

test("pages come back from the disk as they were left, whatever was asked for meanwhile", (t) => {
  using scratch = new DiskPages(2);
  const tables = Array.from({ length: 3 }, () => new Rows(scratch, 41));
  const kept = tables.map(() => new Map<number, number>());
  const rows = Math.floor(PAGE_BYTES / 41) * 5;
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 1500; round++) {
    const [table, row] = [random(3), random(rows)];
    t.is(tables[table]!.at(row)[40], kept[table]!.get(row) ?? 0);
    if (random(2) === 0) continue;
    const value = 1 + random(255);
    tables[table]!.change(row).fill(value);
    kept[table]!.set(row, value);
  }
  for (const [at, table] of tables.entries())
    for (const [row, value] of kept[at]!) t.true(table.at(row).every((byte) => byte === value));
});

test("what is spooled is read again, any part of it", (t) => {
  using scratch = new DiskPages(1);
  const spool = new Spool(scratch);
  const whole = Buffer.from(Array.from({ length: 3 * PAGE_BYTES + 17 }, (_, at) => at % 251));
  for (let at = 0; at < whole.length; at += 10_007) spool.append(whole.subarray(at, at + 10_007));
  t.is(spool.length, whole.length);
  for (const [from, to] of [
    [0, whole.length],
    [PAGE_BYTES - 1, PAGE_BYTES + 1],
    [PAGE_BYTES, PAGE_BYTES],
    [5, 2 * PAGE_BYTES],
  ] as const)
    t.deepEqual(
      Buffer.concat(Array.from(spool.pieces(from, to), (piece) => Buffer.from(piece))),
      whole.subarray(from, to),
    );
});

interface Given {
  readonly digest: Uint8Array;
  readonly mark: number;
  readonly number: number | undefined;
}

/** All at once, by a map. */
function joinedByMap(given: readonly Given[]): Map<string, [marks: number, number: number]> {
  const joined = new Map<string, [number, number]>();
  for (const { digest, mark, number = Infinity } of given) {
    const [marks, least] = joined.get(hexOf(digest)) ?? [0, Infinity];
    joined.set(hexOf(digest), [marks | mark, Math.min(least, number)]);
  }
  return joined;
}

function joinedBySorting(given: readonly Given[], scratch: PageStore) {
  const marks = new DigestMarks(scratch, 300);
  for (const { digest, mark, number } of given) marks.mark(digest, mark, number);
  const repeated = [...marks.settle(given.map(({ digest }) => digestText(digest)))].map(
    ({ mark, digest }) => `${mark} ${hexOf(digest)}`,
  );
  const entries = Array.from(
    marks.entries(),
    ({ digest, marks: all, number }) => [hexOf(digest), all, number] as const,
  );
  return { marks, repeated, entries };
}

function compareJoins(t: import("ava").ExecutionContext, given: readonly Given[], scratch: PageStore): void {
  const expected = joinedByMap(given);
  const { marks, repeated, entries } = joinedBySorting(given, scratch);
  const plain = PRESENT | LISTED | KIND;
  const remarkable = [...expected].filter(([, [all]]) => (all & plain) !== plain).sort(([a], [b]) => (a < b ? -1 : 1));
  t.deepEqual(
    entries,
    remarkable.map(([hex, [all, number]]) => [hex, all, number] as const),
  );
  for (const { digest } of given) t.is(marks.marks(digest), expected.get(hexOf(digest))![0]);
  const twice = (mark: number): string[] => {
    const seen = new Set<string>();
    const names = given.filter((each) => each.mark === mark).map(({ digest }) => `${mark} ${hexOf(digest)}`);
    return names.filter((name) => seen.has(name) || !seen.add(name));
  };
  t.deepEqual(repeated.sort(), [...twice(PRESENT), ...twice(LISTED)].sort());
}

test("digests joined by sorting are what they are joined in a map", (t) => {
  const given = fc.record({
    // Few, some of them alike in their first bytes.
    digest: fc
      .nat(40)
      .map((n) => Uint8Array.from({ length: 32 }, (_, at) => (at === 31 || (n > 20 && at === 0) ? n : 0))),
    mark: fc.constantFrom(PRESENT, LISTED, REFERENCED, KIND),
    number: fc.option(fc.nat(100), { nil: undefined }),
  });
  fc.assert(fc.property(fc.array(given, { maxLength: 500 }), (rows) => compareJoins(t, rows, IN_MEMORY)));
});

test("so they are where there are many runs, in order and out of it, on disk", (t) => {
  const of = (mark: number, count: number, order: boolean): Given[] => {
    const digests = Array.from({ length: count }, (_, n) => sha256(`${n}`));
    if (order) digests.sort(Buffer.compare);
    return digests.map((digest, number) => ({ digest, mark, number }));
  };
  using scratch = new DiskPages(8);
  compareJoins(
    t,
    [...of(PRESENT, 70_000, true), ...of(LISTED, 6999, true), ...of(KIND, 7000, true), ...of(REFERENCED, 6600, false)],
    scratch,
  );
});

const rawKey = (key: import("node:crypto").KeyObject): Buffer =>
  Buffer.from(createPublicKey(key).export({ format: "jwk" }).x!, "base64url");

function byOpenSsl(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const x = Buffer.from(publicKey).toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}

test("a signature over pieces is judged as OpenSSL judges it over the whole", (t) => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const publicKey = rawKey(privateKey);
  const message = Buffer.from("what is signed, in several pieces");
  const good = sign(null, message, privateKey);
  const pieces = [message.subarray(0, 5), message.subarray(5, 6), message.subarray(6)];
  t.true(verifyEd25519Pieces(publicKey, pieces, good));
  for (let bit = 0; bit < 512; bit += 7) {
    const bad = Buffer.from(good);
    bad[bit >> 3]! ^= 1 << (bit & 7);
    t.false(verifyEd25519Pieces(publicKey, pieces, bad));
  }
  t.false(verifyEd25519Pieces(publicKey, [message.subarray(1)], good));
  // s + L is the same number modulo the order, and not reduced (RFC 8032 §5.1.7).
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const s = BigInt(`0x${Buffer.from(good.subarray(32)).reverse().toString("hex")}`) + order;
  const unreduced = Buffer.concat([
    good.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse(),
  ]);
  t.false(byOpenSsl(publicKey, message, unreduced));
  t.false(verifyEd25519Pieces(publicKey, pieces, unreduced));
});

test("a signature made over pieces is the one that OpenSSL makes", (t) => {
  for (let n = 0; n < 5; n++) {
    const { privateKey } = generateKeyPairSync("ed25519");
    const pieces = [Buffer.from("in several "), Buffer.alloc(n), Buffer.from("pieces")];
    const message = Buffer.concat(pieces);
    const made = signEd25519Pieces(privateKey, { length: message.length, pieces: () => pieces });
    t.deepEqual(Buffer.from(made), sign(null, message, privateKey));
  }
});

/** Encodings of the points of small order, canonical and not, and what is no point at all. */
const ODD_POINTS = [
  `01${"00".repeat(31)}`,
  `01${"00".repeat(30)}80`,
  `ec${"ff".repeat(30)}7f`,
  `ec${"ff".repeat(31)}`,
  "00".repeat(32),
  `${"00".repeat(31)}80`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  `ed${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(31)}`,
  `ee${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(31)}`,
  `02${"00".repeat(31)}`,
  "ff".repeat(32),
].map((hex) => Buffer.from(hex, "hex"));

test("nor do keys and signatures of small order, of mixed order, or of another encoding, tell the two apart", (t) => {
  const { Point } = ed25519;
  const bytesOf = (scalar: bigint): Buffer => Buffer.from(scalar.toString(16).padStart(64, "0"), "hex").reverse();
  const { scalar, point } = ed25519.utils.getExtendedPublicKey(Buffer.alloc(32, 9));
  const small = ODD_POINTS.slice(0, 10).map((bytes) => Point.fromBytes(bytes, true));
  let accepted = 0;
  const compare = (publicKey: Uint8Array, text: string, signature: Uint8Array, what: string): boolean => {
    const theirs = byOpenSsl(publicKey, Buffer.from(text), signature);
    t.is(verifyEd25519Pieces(publicKey, [Buffer.from(text)], signature), theirs, what);
    if (theirs) accepted++;
    return theirs;
  };
  for (const [at, publicKey] of ODD_POINTS.entries())
    for (const [of, r] of ODD_POINTS.entries())
      for (const text of ["a", "b"])
        compare(publicKey, text, Buffer.concat([r, Buffer.alloc(32)]), `key ${at}, R ${of}`);
  // Signed with a scalar, by a key and an R that have a part of small order: those hold where the parts cancel each other out.
  for (const ofKey of small.slice(2, 8))
    for (const ofR of small.slice(0, 3))
      for (const nonce of [0n, 12_345n])
        for (const text of ["a", "b", "c", "d", "e", "f", "g", "h"]) {
          const publicKey = point.add(ofKey).toBytes();
          const r = Buffer.from(Point.BASE.multiplyUnsafe(nonce).add(ofR).toBytes());
          const hash = createHash("sha512").update(r).update(publicKey).update(text).digest();
          const h = BigInt(`0x${hash.reverse().toString("hex")}`) % Point.Fn.ORDER;
          compare(publicKey, text, Buffer.concat([r, bytesOf(Point.Fn.create(nonce + h * scalar))]), "mixed order");
        }
  t.true(accepted > 0);
});
