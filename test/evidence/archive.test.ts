// Exports as archives: what is hostile or damaged ends the reading, does no harm, and is said; what auditors do to archives is no harm.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import test from "ava";
import { tarGz } from "../../src/evidence/export/files.ts";
import type { VerifyReport } from "../../src/evidence/verify/index.ts";
import { verifyExport as verifyInBrowser } from "../../src/evidence/verify/index.ts";
import { admit, exportFiles, TRUSTING, withNode, type Files } from "./exports.ts";
import { theyAgree, verifyExport } from "./second-verifier.ts";

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

let files: Files;
let tar: Buffer;

test.before(async () => {
  await withNode(async (node) => {
    await admit(node, 6);
    files = await exportFiles(node);
  });
  tar = gunzipSync(await packed(files));
});

async function packed(given: Files): Promise<Buffer> {
  const parts: Buffer[] = [];
  const entries = async function* () {
    for (const [name, content] of [...given].sort(([a], [b]) => (a < b ? -1 : 1)))
      yield { name, size: content.length, open: () => [content] };
  };
  for await (const part of tarGz(entries)) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** One entry of a tar, with whatever a header can say. */
function entry(
  name: string,
  {
    type = "0",
    content = Buffer.alloc(0),
    link = "",
    size = content.length,
  }: { type?: string; content?: Buffer; link?: string; size?: number } = {},
): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, "latin1");
  block.write(
    "0000644\0" +
      "0000000\0" +
      "0000000\0" +
      size.toString(8).padStart(11, "0") +
      "\0" +
      "00000000000\0" +
      "        " +
      type,
    100,
    "latin1",
  );
  block.write(link, 157, "latin1");
  block.write("ustar\0" + "00", 257, "latin1");
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
    "latin1",
  );
  return Buffer.concat([block, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

const archive = ({ checks }: VerifyReport) => checks.find(({ name }) => name === "archive")!;

const HOSTILE: Record<string, () => Buffer> = {
  "a path that climbs": () => Buffer.concat([entry("../evil", { content: Buffer.from("x") }), tar]),
  "a path that climbs from within": () =>
    Buffer.concat([entry("artifacts/../../evil", { content: Buffer.from("x") }), tar]),
  "an absolute path": () => Buffer.concat([entry("/etc/passwd", { content: Buffer.from("x") }), tar]),
  "a path with a backslash": () => Buffer.concat([entry("..\\evil", { content: Buffer.from("x") }), tar]),
  "a name with a control character": () => Buffer.concat([entry("a\x1b[31m", { content: Buffer.from("x") }), tar]),
  "a name that is not ASCII": () => Buffer.concat([entry("m\xe4nifest", { content: Buffer.from("x") }), tar]),
  "an empty name": () => Buffer.concat([entry("", { content: Buffer.from("x") }), tar]),
  "a symbolic link": () => Buffer.concat([entry("README", { type: "2", link: "/etc/passwd" }), tar]),
  "a hard link": () => Buffer.concat([entry("README", { type: "1", link: "manifest.json" }), tar]),
  "a device": () => Buffer.concat([entry("README", { type: "3" }), tar]),
  "a pipe": () => Buffer.concat([entry("README", { type: "6" }), tar]),
  "a folder of its own": () => Buffer.concat([entry("more/", { type: "5" }), tar]),
  "a GNU long name": () => Buffer.concat([entry("././@LongLink", { type: "L", content: Buffer.from("x") }), tar]),
  "an extended header that renames": () =>
    Buffer.concat([entry("pax", { type: "x", content: Buffer.from("20 path=../../evil!\n") }), tar]),
  "an extended header that links": () =>
    Buffer.concat([entry("pax", { type: "x", content: Buffer.from("17 linkpath=/etc\n") }), tar]),
  "a sparse file": () => Buffer.concat([entry("README", { type: "S" }), tar]),
  "a file twice": () => Buffer.concat([entry("checkpoint", { content: files.get("checkpoint")! }), tar]),
  "an artifact twice": () => {
    const name = [...files.keys()].find((each) => each.startsWith("artifacts/"))!;
    return Buffer.concat([entry(name, { content: files.get(name)! }), tar]);
  },
  "a file that claims to be huge": () => Buffer.concat([entry("manifest.json", { size: 2 ** 32 }), tar]),
  "a checkpoint that is a bomb": () => Buffer.concat([entry("checkpoint", { content: Buffer.alloc(100_000) }), tar]),
  "a size that is no number": () => {
    const block = entry("README");
    block.write("abc", 124, "latin1");
    return Buffer.concat([block, tar]);
  },
  "a wrong checksum": () => {
    const bytes = Buffer.from(tar);
    bytes[0]! ^= 1;
    return bytes;
  },
  "an end that is missing": () => tar.subarray(0, tar.length - 1024),
  "a file that is cut off": () => tar.subarray(0, 2000),
  "something behind the end": () => Buffer.concat([tar, entry("README", { content: Buffer.from("x") })]),
  "something between files": () => {
    const bytes = Buffer.from(tar);
    const size = Number.parseInt(bytes.toString("latin1", 124, 135), 8);
    bytes[512 + size + 1] = 65;
    return size % 512 === 0 ? tar.subarray(0, 700) : bytes;
  },
  nothing: () => Buffer.alloc(0),
  "no archive": () => Buffer.from("this is not an archive".repeat(50)),
};

for (const [name, make] of Object.entries(HOSTILE)) {
  test(`refused: ${name}`, async (t) => {
    for (const verify of [verifyExport, verifyInBrowser]) {
      for (const bytes of [make(), gzipSync(make())]) {
        const report = await verify(bytes);
        t.false(report.ok);
        t.is(archive(report).status, "failed");
        t.notRegex(archive(report).detail, /[^ -~]/);
        t.true(
          report.checks.every((check) => check.status !== "passed"),
          "nothing else is said to hold",
        );
      }
    }
  });
}

test("refused: a gzip stream that is cut off, damaged, or followed by something", async (t) => {
  const gz = await packed(files);
  const damaged = Buffer.from(gz);
  damaged[(gz.length / 2) | 0]! ^= 0xff;
  for (const verify of [verifyExport, verifyInBrowser]) {
    for (const bytes of [
      gz.subarray(0, -10),
      gz.subarray(0, gz.length / 2),
      damaged,
      Buffer.concat([gz, Buffer.from("more")]),
    ]) {
      const report = await verify(bytes);
      t.false(report.ok);
      t.is(archive(report).status, "failed");
    }
  }
});

test("refused: an archive that unpacks to more than it may, long before it is unpacked", async (t) => {
  const zeros = Buffer.alloc(64 * 1024 * 1024);
  const bomb = gzipSync(Buffer.concat([entry("README", { content: zeros }), tar]));
  const report = await verifyExport(bomb, { limits: { bytesMax: 1024 * 1024 } });
  t.is(archive(report).status, "failed");
  t.regex(archive(report).detail, /unpacks to more/);
  t.is(archive(await verifyExport(tar, { limits: { entriesMax: 3 } })).status, "failed");
});

test("accepted: the same files, plain, packed, as a stream, and in any order that a folder has", async (t) => {
  const gz = await packed(files);
  t.true((await verifyExport(gz, TRUSTING)).ok);
  t.true((await verifyExport(tar, TRUSTING)).ok);
  t.true((await verifyInBrowser(new Blob([gz as Buffer<ArrayBuffer>]), TRUSTING)).ok);
  t.true((await verifyExport(Readable.from([...chunksOf(gz, 1000)]), TRUSTING)).ok);
  t.true((await verifyExport(Readable.from([...chunksOf(tar, 7)]), TRUSTING)).ok);
  t.true(
    (
      await verifyInBrowser(
        Readable.toWeb(Readable.from([...chunksOf(gz, 100)])) as ReadableStream<Uint8Array>,
        TRUSTING,
      )
    ).ok,
  );
});

test("accepted: files in the wrong order, read twice; as a stream they are refused, since one pass cannot check them", async (t) => {
  const backwards = Buffer.concat([
    ...[...files].sort(([a], [b]) => (a < b ? 1 : -1)).map(([name, content]) => entry(name, { content })),
    Buffer.alloc(1024),
  ]);
  t.true((await verifyExport(backwards, TRUSTING)).ok);
  t.true((await verifyInBrowser(backwards, TRUSTING)).ok);
  const report = await verifyExport(Readable.from([backwards]));
  t.false(report.ok);
  t.regex(archive(report).detail, /comes before/);
});

test("accepted: what GNU tar makes of an export's folder", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-archive-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  write(join(dir, "export"));
  for (const format of ["gnu", "ustar", "pax"]) {
    const made = spawnSync("tar", [
      "-C",
      join(dir, "export"),
      `--format=${format}`,
      "-czf",
      join(dir, `${format}.tar.gz`),
      ".",
    ]);
    if (made.error) return t.log("there is no tar here");
    t.true((await verifyExport(join(dir, `${format}.tar.gz`), TRUSTING)).ok, format);
  }
});

test("a folder: plain files only, links are refused and not followed, and strangers are found", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-archive-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  write(join(dir, "good"));
  t.true((await verifyExport(join(dir, "good"), TRUSTING)).ok);
  writeFileSync(join(dir, "good", "stranger"), "x");
  const strange = await verifyExport(join(dir, "good"));
  t.is(strange.checks.find(({ name }) => name === "files")!.status, "failed");
  write(join(dir, "linked"));
  rmSync(join(dir, "linked", "checkpoint"));
  symlinkSync(join(dir, "good", "checkpoint"), join(dir, "linked", "checkpoint"));
  t.is(archive(await verifyExport(join(dir, "linked"))).status, "failed");
  await t.throwsAsync(verifyExport(join(dir, "nowhere")), { code: "ENOENT" });
  t.false(existsSync(join(dir, "evil")));
});

function write(folder: string): void {
  for (const [name, content] of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

function* chunksOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
