// A simulated disk: real files, of which it is known what a crash may take away, since nobody has synced it yet.
import fs from "node:fs";
import { dirname, join, relative } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Random } from "./random.ts";

/** As they are outside of any simulation. */
const real = { ...fs };

/** What a crash leaves: of a process that was killed, all that it had written; of a machine that lost its power, what was synced, and some more. */
export type Crash = "killed" | "lost_power";

export interface Faults {
  /** Operations of the disk from now on until it crashes; undefined: it does not. */
  crashIn: number | undefined;
  readonly crash: Crash;
  /** What becomes of the next commits: there is no room; it fails with nothing written; it is written, and fails all the same. */
  commits: ("full" | "fails" | "fails_written")[];
  /** Says that it has synced, and has not. */
  lies: boolean;
}

const WAL = "railgate.db-wal";

export class Disk {
  /** Where its files are. */
  readonly dir: string;
  readonly faults: Faults;
  /** Told at the moment of a crash, with the directory as it was left. */
  onCrash: (left: string) => void = () => {};
  /** What was done to it, in words. */
  onOperation: (what: string) => void = () => {};
  /** Told of each fault that strikes. */
  onFault: (what: string) => void = () => {};
  readonly #random: Random;
  readonly #nextDir: () => string;
  /** By path, what of a file is on the disk for certain: null where it is not there. */
  readonly #synced = new Map<string, Buffer | null>();
  /** Names that were changed in a directory which was not synced, in order: what was in each before. */
  #renames: { readonly path: string; readonly before: ReadonlyMap<string, Buffer | null> }[] = [];
  /** Where each commit ends in the log of writes, and whether it was synced. */
  #commits: { readonly end: number; synced: boolean }[] = [];
  readonly #files = new Map<number, string>();
  readonly #databases = new Set<DatabaseSync>();
  #gone = false;

  constructor(dir: string, random: Random, nextDir: () => string, faults: Partial<Faults> = {}) {
    this.dir = dir;
    this.#random = random;
    this.#nextDir = nextDir;
    this.faults = { crashIn: undefined, crash: "killed", commits: [], lies: false, ...faults };
  }

  /** Whether a path is on it. */
  holds(path: string): boolean {
    return path.startsWith(this.dir);
  }

  opened(file: number, path: string): void {
    this.#files.set(file, path);
  }

  closed(file: number): void {
    this.#files.delete(file);
  }

  pathOf(file: number): string | undefined {
    return this.#files.get(file);
  }

  connected(database: DatabaseSync): void {
    this.#databases.add(database);
  }

  /** A file is about to be written. @returns how many of these bytes are, where it crashes meanwhile. */
  writing(path: string, bytes: number): number | undefined {
    if (!this.#synced.has(path)) this.#synced.set(path, contentOf(path));
    return this.#operation(`writes ${this.#nameOf(path)}`) ? this.#random.below(bytes + 1) : undefined;
  }

  /** It was written in part, and that was the end. */
  crashed(): void {
    this.#leave((left) => this.#loseFiles(left));
  }

  /** A file, or a directory, is synced. */
  syncing(path: string): void {
    if (this.#operation(`syncs ${this.#nameOf(path)}`)) return this.crashed();
    if (this.faults.lies && this.#random.chance(0.5)) return;
    this.#synced.delete(path);
    this.#renames = this.#renames.filter((rename) => dirname(rename.path) !== path);
  }

  /** A name is about to be another file's, or nobody's. */
  renaming(path: string, from?: string): void {
    if (this.#operation(`renames ${this.#nameOf(path)}`)) return this.crashed();
    const names = from === undefined ? [path] : [path, from];
    this.#renames.push({ path, before: new Map(names.map((name) => [name, contentOf(name)])) });
    const synced = from === undefined ? undefined : this.#synced.get(from);
    if (from !== undefined) this.#synced.delete(from);
    this.#synced.delete(path);
    if (synced !== undefined) this.#synced.set(path, synced);
  }

  /**
   * A transaction of the database is about to be committed.
   * @throws Error the commit fails.
   */
  committing(commit: () => void): void {
    if (this.#gone) return void commit();
    const fault = this.faults.commits.shift();
    if (fault !== undefined) {
      this.onOperation(`commit ${fault}`);
      this.onFault(`commit ${fault}`);
    }
    if (fault === "full") throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
    if (fault === "fails") throw new Error("disk I/O error");
    const before = this.#logBytes();
    if (this.#operation("commits")) {
      commit();
      const after = this.#logBytes();
      this.#leave((left) => this.#tearLog(left, before, after));
      return;
    }
    commit();
    const end = this.#logBytes();
    if (end < (this.#commits.at(-1)?.end ?? 0)) this.#commits = [];
    const synced = !(this.faults.lies && this.#random.chance(0.5));
    if (synced) for (const each of this.#commits) each.synced = true;
    this.#commits.push({ end, synced });
    if (fault === "fails_written") throw new Error("disk I/O error");
  }

  /** It crashes now, between two operations. @returns the directory as it was left. */
  crashNow(): string {
    this.onFault(`${this.faults.crash}: idle`);
    return this.#leave((left) => this.#loseFiles(left));
  }

  /** As it is, with all that was written. */
  copy(): string {
    return this.#copy();
  }

  /** Nobody uses it any more. */
  giveUp(): void {
    this.#gone = true;
    // Whose file is gone is not folded into it when it is closed.
    real.rmSync(this.dir, { recursive: true, force: true });
    for (const database of this.#databases) if (database.isOpen) database.close();
    for (const file of this.#files.keys()) real.closeSync(file);
    this.#files.clear();
  }

  /** @returns whether it crashes with this one. */
  #operation(what: string): boolean {
    if (this.#gone) return false;
    this.onOperation(what);
    if (this.faults.crashIn === undefined || this.faults.crashIn-- > 0) return false;
    this.onFault(`${this.faults.crash}: ${what.split(" ")[0]}`);
    return true;
  }

  #leave(lose: (left: string) => void): string {
    const left = this.#copy();
    lose(left);
    if (this.faults.crash === "lost_power") this.#loseCommits(left);
    this.#gone = true;
    this.onCrash(left);
    return left;
  }

  #copy(): string {
    const left = this.#nextDir();
    copyFiles(this.dir, left);
    return left;
  }

  /** What was not synced is as it was, or cut short, or as it was written. */
  #loseFiles(left: string): void {
    if (this.faults.crash === "killed") return;
    const copied = (path: string): string => join(left, relative(this.dir, path));
    for (const [path, synced] of this.#synced) {
      this.onFault("unsynced file lost");
      const kept = this.#random.below(3);
      if (kept === 0) restore(copied(path), synced);
      const written = kept === 1 ? contentOf(copied(path)) : null;
      const least = Math.min(synced?.length ?? 0, written?.length ?? 0);
      if (written) real.truncateSync(copied(path), this.#random.within(least, written.length));
    }
    // A file system does them in order, so that what is not done is the end.
    for (const { before } of this.#renames.slice(this.#random.within(0, this.#renames.length)).toReversed()) {
      this.onFault("unsynced name lost");
      for (const [path, content] of before) restore(copied(path), content);
    }
  }

  /** A commit that was not finished: its frames are there in part, or torn. */
  #tearLog(left: string, before: number, after: number): void {
    this.#loseFiles(left);
    if (after <= before) return;
    const log = join(left, WAL);
    real.truncateSync(log, this.#random.within(before, after));
    const size = real.statSync(log).size;
    if (this.faults.crash !== "lost_power" || size === before || !this.#random.chance(0.5)) return;
    this.onFault("log of writes torn");
    const torn = Buffer.alloc(Math.min(512, size - before));
    const file = real.openSync(log, "r+");
    real.writeSync(file, torn, 0, torn.length, this.#random.within(before, size - torn.length));
    real.closeSync(file);
  }

  /** Commits whose sync was a lie. */
  #loseCommits(left: string): void {
    const log = join(left, WAL);
    const certain = this.#commits.findLast(({ synced }) => synced)?.end ?? 0;
    if (this.#commits.at(-1)?.synced !== false || !real.existsSync(log)) return;
    const size = real.statSync(log).size;
    if (size > certain) real.truncateSync(log, this.#random.within(certain, size));
  }

  #logBytes(): number {
    return real.statSync(join(this.dir, WAL), { throwIfNoEntry: false })?.size ?? 0;
  }

  #nameOf(path: string): string {
    return relative(this.dir, path).replace(/\.\d+\.tmp$/, "") || "the directory";
  }
}

/** Of a folder, but for what readers and writers of a database share in memory; several times as fast as `cpSync`. */
export function copyFiles(from: string, to: string): void {
  real.mkdirSync(to);
  for (const entry of real.readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyFiles(source, target);
    else if (!entry.name.endsWith("-shm")) real.copyFileSync(source, target);
  }
}

function contentOf(path: string): Buffer | null {
  try {
    return real.readFileSync(path);
  } catch {
    return null;
  }
}

function restore(path: string, content: Buffer | null): void {
  if (content === null) real.rmSync(path, { force: true });
  else real.writeFileSync(path, content);
}
