// How an export is handed over: as a folder, or as one `.tar.gz` that is the same to the byte whenever it is made.
import { createWriteStream } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, type Gzip } from "node:zlib";
import { RailgateError } from "../../core/errors.ts";
import { syncDir } from "../../store/files.ts";

/** One file of an export. */
export interface ExportFile {
  readonly name: string;
  readonly size: number;
  open(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Files in the order in which they are written; `manifest.json` among them. */
export type ExportFiles = () => AsyncIterable<ExportFile>;

/** The target is there already, or cannot be written. */
export class ExportTargetError extends RailgateError {
  static override code = "export_target_unusable";
}

const BLOCK = 512;
const PIECE_BYTES = 128 * 1024;
const OCTAL_SIZE_MAX = 8 ** 11 - 1;
/** Most of an export is digests and base64, which no effort makes smaller. */
const GZIP_LEVEL = 3;
const END_OF_ARCHIVE = 2 * BLOCK;

/** The export as a gzipped tar. Fails where a file is not the size it was said to be. */
export function tarGz(files: ExportFiles): Gzip {
  const gzip = createGzip({ level: GZIP_LEVEL });
  pipeline(Readable.from(inPieces(tar(files)), { objectMode: false }), gzip).catch((error: Error) =>
    gzip.destroy(error),
  );
  return gzip;
}

async function* tar(files: ExportFiles): AsyncGenerator<Uint8Array> {
  for await (const file of files()) {
    yield header(file);
    let left = file.size;
    for await (const part of file.open()) {
      left -= part.length;
      yield part;
    }
    if (left !== 0) throw new Error(`${file.name} changed while it was exported`);
    yield new Uint8Array((BLOCK - (file.size % BLOCK)) % BLOCK);
  }
  yield new Uint8Array(END_OF_ARCHIVE);
}

/** POSIX ustar: mode 0644, owner 0, time 0. */
function header({ name, size }: ExportFile): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, "0")}\0`, at, "latin1");
  block.write(name, 0, "latin1");
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  if (size <= OCTAL_SIZE_MAX) octal(size, 124, 11);
  else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(0, 136, 11);
  block.write("        0", 148, "latin1");
  block.write("ustar\0" + "00", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** Small parts gathered into large ones. */
async function* inPieces(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let piece = Buffer.allocUnsafe(PIECE_BYTES);
  let used = 0;
  for await (const part of parts) {
    if (used > 0 && used + part.length > PIECE_BYTES) {
      yield piece.subarray(0, used);
      piece = Buffer.allocUnsafe(PIECE_BYTES);
      used = 0;
    }
    if (part.length > PIECE_BYTES) yield part;
    else {
      piece.set(part, used);
      used += part.length;
    }
  }
  if (used > 0) yield piece.subarray(0, used);
}

/**
 * The export as a folder, which must be new or empty. The manifest comes last, so that half an export is none.
 * @throws ExportTargetError
 */
export async function writeFolder(files: ExportFiles, path: string): Promise<void> {
  const folder = resolve(path);
  await mkdir(join(folder, "artifacts"), { recursive: true }).catch((cause: Error) => {
    throw new ExportTargetError(`${folder} cannot be written: ${cause.message}`, { cause });
  });
  const there =
    (await readdir(folder)).filter((name) => name !== "artifacts").length +
    (await readdir(join(folder, "artifacts"))).length;
  if (there > 0) throw new ExportTargetError(`${folder} is not empty; an export needs a folder of its own`);
  try {
    let manifest: ExportFile | undefined;
    for await (const file of files()) {
      if (file.name === "manifest.json") manifest = file;
      else await writeFile(folder, file);
    }
    await writeFile(folder, manifest!);
    for (const dir of [join(folder, "artifacts"), folder, dirname(folder)]) syncDir(dir);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** The export as a file, written as a whole or not at all. @throws ExportTargetError */
export async function writeTarGz(files: ExportFiles, path: string): Promise<void> {
  const target = createWriteStream(path, { flags: "wx", flush: true });
  try {
    await pipeline(tarGz(files), target);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST")
      throw new ExportTargetError(`${path} is there already`, { cause });
    await rm(path, { force: true });
    throw cause;
  }
}

async function writeFile(folder: string, { name, size, open }: ExportFile): Promise<void> {
  // The manifest vouches for the others, so a crash that loses one of them is found out.
  const target = createWriteStream(join(folder, name), { flags: "wx", flush: name === "manifest.json" });
  await pipeline(Readable.from(open(), { objectMode: false }), target);
  if (target.bytesWritten !== size) throw new Error(`${name} changed while it was exported`);
}
