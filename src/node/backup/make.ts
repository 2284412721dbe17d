// Makes a backup while the node runs: the database as of one moment, the keys that fit it, verified before and after it is written.
import { counted } from "../../core/counted.ts";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { tarGzStream, type TarFile } from "../../archive/write.ts";
import { digestText } from "../../core/digest.ts";
import { BackupError, RailgateError } from "../../core/errors.ts";
import { syncDir } from "../../store/files.ts";
import { copyStore, openReader, storeExists } from "../../store/open.ts";
import { nodeIdIn } from "../restore.ts";
import { DATABASE, FOLDERS, LIST, newList, readBackup, type BackupList } from "./files.ts";
import { checkCopy, keyFits } from "./sound.ts";

export interface BackupOptions {
  readonly dataDir: string;
  /** A file that is not there yet. */
  readonly out: string;
  readonly nodeId?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Told now and then what is being done. */
  readonly progress?: (doing: string) => void;
}

export interface Backup {
  readonly path: string;
  readonly node_id: string;
  readonly made_at: string;
  readonly streams: number;
  readonly events: number;
  readonly bytes: number;
}

/** A key may be rotated between the copy of the database and that of the keys; hardly twice. */
const TRIES = 3;

/**
 * Makes a backup beside whoever writes the data directory. It blocks its thread while the database is copied and verified.
 * @throws BackupError it cannot be made or written; nothing is left. @throws BackupUnsoundError the evidence does not verify.
 */
export async function makeBackup(options: BackupOptions): Promise<Backup> {
  const { dataDir, progress = () => {} } = options;
  const path = resolve(options.out);
  if (existsSync(path)) throw new BackupError(`${path} is there already; give the backup a name of its own`);
  if (!storeExists(dataDir)) throw new BackupError(`${dataDir} holds no evidence yet`);
  let staging: string | undefined;
  try {
    staging = mkdtempSync(`${path}.partial-`);
    await copyConsistently(dataDir, staging, progress);
    const { events } = await checkCopy(staging, (verified) => progress(`verified ${counted(verified, "event")}…`));
    const list = await listOf(staging, options);
    progress("writing…");
    await write(list, staging);
    const written = join(staging, basename(path));
    renameSync(join(staging, ARCHIVE), written);
    await readBackup(written);
    if (existsSync(path)) throw new BackupError(`${path} is there already; give the backup a name of its own`);
    renameSync(written, path);
    syncDir(dirname(path));
    const { node_id, made_at, streams } = list;
    return { path, node_id, made_at, streams: streams.length, events, bytes: statSync(path).size };
  } catch (cause) {
    if (cause instanceof RailgateError) throw cause;
    const { message } = cause as Error;
    throw new BackupError(`the backup ${path} can't be written: ${message}; make room, or name another place`, {
      cause,
    });
  } finally {
    if (staging !== undefined) rmSync(staging, { recursive: true, force: true });
  }
}

const ARCHIVE = "archive";

async function copyConsistently(dataDir: string, to: string, progress: (doing: string) => void): Promise<void> {
  for (let tries = 1; ; tries++) {
    progress("copying the database…");
    copyStore(dataDir, to);
    for (const folder of FOLDERS) copyFolder(join(dataDir, folder), join(to, folder));
    if (await keyFits(to)) return;
    if (tries === TRIES)
      throw new BackupError("the key in keys/ is not the one that the database names; railgate doctor says more");
    for (const name of [DATABASE, ...FOLDERS]) rmSync(join(to, name), { recursive: true, force: true });
  }
}

function copyFolder(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(to, { mode: 0o700 });
  for (const entry of readdirSync(from, { withFileTypes: true }))
    if (entry.isFile() && !entry.name.startsWith(".")) copyFileSync(join(from, entry.name), join(to, entry.name));
}

async function listOf(dir: string, { nodeId, nowMs }: BackupOptions): Promise<BackupList> {
  await using store = await openReader(dir);
  const names = [DATABASE, ...FOLDERS.flatMap((folder) => namesIn(dir, folder))];
  const files: [string, string][] = [];
  for (const name of names) files.push([name, await digestOfFile(join(dir, name))]);
  return newList({
    node_id: (await nodeIdIn(store, nodeId)) ?? "",
    made_at: new Date(nowMs).toISOString(),
    streams: (await store.log.streams()).map(({ chain_id, size }) => ({ chain_id, size })),
    files: Object.fromEntries(files),
  });
}

const namesIn = (dir: string, folder: string): string[] =>
  existsSync(join(dir, folder))
    ? readdirSync(join(dir, folder))
        .sort()
        .map((name) => `${folder}/${name}`)
    : [];

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return digestText(hash.digest());
}

/** It holds private keys, so it is for its owner alone. */
async function write(list: BackupList, dir: string): Promise<void> {
  const listed = Buffer.from(`${JSON.stringify(list, null, 1)}\n`);
  const files = async function* (): AsyncGenerator<TarFile> {
    yield { name: LIST, size: listed.length, open: () => [listed] };
    for (const name of Object.keys(list.files)) {
      const path = join(dir, name);
      yield { name, size: statSync(path).size, open: () => createReadStream(path) };
    }
  };
  await pipeline(
    tarGzStream(files()),
    createWriteStream(join(dir, ARCHIVE), { flags: "wx", mode: 0o600, flush: true }),
  );
}
