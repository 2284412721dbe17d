// Gzip that is all at hand: unpacked at once only where a stream would have unpacked the very same, and nothing else.
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import test from "ava";
import { passingGunzip } from "../../src/archive/gzip-node.ts";
import { unpacked, unpackedAtHand } from "../../src/archive/gzip.ts";

const TEXT = Buffer.from("a bundle's files ".repeat(500));
const PACKED = gzipSync(TEXT);
const ROOM = 1024 * 1024;

async function streamed(bytes: Uint8Array): Promise<Buffer | "refused"> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of unpacked(
      (async function* () {
        yield bytes;
      })(),
    ))
      parts.push(part);
    return Buffer.concat(parts);
  } catch {
    return "refused";
  }
}

function changed(at: number, from = PACKED): Buffer {
  const copy = Buffer.from(from);
  copy[at < 0 ? copy.length + at : at]! ^= 0xff;
  return copy;
}

test("one member is unpacked as a stream unpacks it", async (t) => {
  t.deepEqual(Buffer.from(unpackedAtHand(PACKED, ROOM)!), TEXT);
  t.deepEqual(await streamed(PACKED), TEXT);
  const within = Buffer.concat([Buffer.from("before"), PACKED, Buffer.from("behind")]);
  t.deepEqual(
    Buffer.from(unpackedAtHand(within.subarray(6, 6 + PACKED.length), ROOM)!),
    TEXT,
    "part of a larger buffer",
  );
});

for (const [what, bytes] of Object.entries({
  "a second member": Buffer.concat([PACKED, PACKED]),
  "an empty member before it": Buffer.concat([gzipSync(""), PACKED]),
  "bytes behind it": Buffer.concat([PACKED, Buffer.from("hidden")]),
  "a byte too few": PACKED.subarray(0, -1),
  "another length": changed(-1),
  "another sum": changed(-5),
  "damaged data": changed(40),
  "another method": changed(2),
  "nothing but a header": PACKED.subarray(0, 10),
  nothing: new Uint8Array(0),
}))
  test(`${what}: not at once, and a stream refuses it`, async (t) => {
    t.is(unpackedAtHand(bytes, ROOM), undefined);
    t.is(await streamed(bytes), "refused");
  });

test("a name in the header, and what is larger than it may be: not at once, and a stream can", async (t) => {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(TEXT), 0);
  trailer.writeUInt32LE(TEXT.length, 4);
  const named = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]),
    Buffer.from("name\0"),
    deflateRawSync(TEXT),
    trailer,
  ]);
  t.is(unpackedAtHand(named, ROOM), undefined);
  t.deepEqual(await streamed(named), TEXT);
  t.is(unpackedAtHand(PACKED, TEXT.length - 1), undefined);
  t.deepEqual(Buffer.from(unpackedAtHand(PACKED, TEXT.length)!), TEXT);
});

test("what was unpacked is the same where it is let go part by part", async (t) => {
  const content = Buffer.alloc(3 * 256 * 1024 + 1000, "a file, and another. ");
  const packed = gzipSync(content);
  const source = async function* () {
    yield packed.subarray(0, 1000);
    yield packed.subarray(1000);
  };
  const [copies, parts]: Uint8Array[][] = [[], []];
  for await (const part of passingGunzip(source())) {
    copies!.push(Buffer.from(part));
    parts!.push(part);
  }
  t.deepEqual(Buffer.concat(copies!), content);
  // Only zlib's last buffer was never full.
  t.is(
    parts!.reduce((sum, { length }) => sum + length, 0),
    1000,
  );
});
