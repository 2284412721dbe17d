// How an export is handed over: as a folder, or as one `.tar.gz` that is the same to the byte whenever it is made.
import { createWriteStream } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Gzip } from "node:zlib";
import { tarGzStream, type TarFile } from "../../archive/write.ts";
import { RailgateError } from "../../core/errors.ts";
import { syncDir } from "../../store/files.ts";

/** One file of an export. */
export type ExportFile = TarFile;

/** Files in the order in which they are written; `manifest.json` among them. */
export type ExportFiles = () => AsyncIterable<ExportFile>;

/** The target is there already, or cannot be written. */
export class ExportTargetError extends RailgateError {
  static override code = "export_target_unusable";
}

/** The export as a gzipped tar. Fails where a file is not the size it was said to be. */
export const tarGz = (files: ExportFiles): Gzip => tarGzStream(files());

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
  await pipeline(Readable.from(copied(open()), { objectMode: false }), target);
  if (target.bytesWritten !== size) throw new Error(`${name} changed while it was exported`);
}

/** Parts are good until the next, and streams hold several. */
async function* copied(parts: ReturnType<ExportFile["open"]>): AsyncGenerator<Uint8Array> {
  for await (const part of parts) yield Buffer.from(part);
}
