// What a process has of the outside, replaced while a simulation runs: clock, timers, chance, threads, files. What it replaces cannot be got round.
import crypto, { type KeyObject } from "node:crypto";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import os from "node:os";
import sqlite from "node:sqlite";
import timers from "node:timers/promises";
import zlib from "node:zlib";
import threads from "node:worker_threads";
import type { Database } from "./database.ts";
import { threadClass, type ThreadMains } from "./threads.ts";
import type { Happening, World } from "./world.ts";

type Replaceable = { [name: string]: unknown };

/**
 * Puts a world in the place of what is outside.
 * @param database what connections lead to; undefined: there is none.
 * @returns a function that takes it away again.
 */
export function enter(world: World, mains: ThreadMains, database?: Database): () => void {
  const undo: (() => void)[] = [];
  const replace = (object: object, replacements: Replaceable): void => {
    for (const [name, value] of Object.entries(replacements)) {
      const before = Object.getOwnPropertyDescriptor(object, name);
      Object.defineProperty(object, name, { value, configurable: true, writable: true });
      undo.push(() => {
        if (before) Object.defineProperty(object, name, before);
        else delete (object as Replaceable)[name];
      });
    }
  };
  replace(globalThis, clockOf(world));
  replace(performance, { now: () => world.nowMs });
  replace(Date, { now: () => world.clockMs });
  replace(Math, { random: () => world.random.next() });
  replace(timers, {
    setTimeout: (ms: number, value: unknown, options?: { signal?: AbortSignal }) => wait(world, ms, value, options),
    setImmediate: (value: unknown) => wait(world, 0, value, {}),
  });
  replace(threads, { Worker: threadClass(world, mains) });
  replace(crypto, cryptography(world));
  replace(crypto.webcrypto.subtle, {
    digest: async (algorithm: string | { name: string }, data: Uint8Array) =>
      crypto.hash(String(typeof algorithm === "string" ? algorithm : algorithm.name).replace("-", ""), data, "buffer"),
  });
  replace(zlib, {
    gunzip: atOnce(zlib.gunzipSync),
    zstdDecompress: atOnce(zlib.zstdDecompressSync),
  });
  replace(fs, files(world));
  replace(sqlite.DatabaseSync.prototype, databases(world));
  replace(os, { hostname: () => world.current.process.host });
  if (database) {
    replace(net, { Socket: database.socketClass() });
    replace(fs, { readFileSync: readingProcesses(world) });
    const before = Object.getOwnPropertyDescriptor(process, "pid")!;
    Object.defineProperty(process, "pid", { configurable: true, get: () => world.current.process.pid });
    undo.push(() => Object.defineProperty(process, "pid", before));
  }
  syncBuiltinESMExports();
  return () => {
    for (const restore of undo.toReversed()) restore();
    syncBuiltinESMExports();
  };
}

/** What `setTimeout` gives. */
class Timer {
  happening: Happening | undefined;

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

function clockOf(world: World): Replaceable {
  const start = (work: (...given: unknown[]) => void, ms: number, given: unknown[], again: boolean): Timer => {
    const timer = new Timer();
    const owner = world.current;
    const next = (): void => {
      timer.happening = world.after(Math.max(1, ms || 0), owner, () => {
        if (again) next();
        work(...given);
      });
    };
    next();
    return timer;
  };
  const clear = (timer?: Timer): void => {
    if (timer?.happening) timer.happening.cancelled = true;
  };
  return {
    setTimeout: (work: () => void, ms: number, ...given: unknown[]) => start(work, ms, given, false),
    setInterval: (work: () => void, ms: number, ...given: unknown[]) => start(work, ms, given, true),
    setImmediate: (work: (...given: unknown[]) => void, ...given: unknown[]) => {
      const timer = new Timer();
      timer.happening = world.after(0, world.current, () => work(...given));
      return timer;
    },
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  };
}

function wait<T>(world: World, ms: number, value: T, { signal }: { signal?: AbortSignal } = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      happening.cancelled = true;
      reject(new DOMException("The operation was aborted", "AbortError"));
    };
    const happening = world.after(Math.max(ms === 0 ? 0 : 1, ms), world.current, () => {
      signal?.removeEventListener("abort", aborted);
      resolve(value);
    });
    if (signal?.aborted) aborted();
    else signal?.addEventListener("abort", aborted, { once: true });
  });
}

type Told = (error: Error | null, result?: Uint8Array) => void;

/** Does at once what else the pool of threads would do. */
const atOnce =
  <Options>(work: (bytes: Uint8Array, options: Options) => Uint8Array) =>
  (bytes: Uint8Array, options: Options, told: Told): void => {
    let result: Parameters<Told>;
    try {
      result = [null, work(bytes, options)];
    } catch (error) {
      result = [error as Error];
    }
    queueMicrotask(() => told(...result));
  };

/** What comes before the 32 bytes of a private Ed25519 key in PKCS #8 (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** Keys and random bytes by the seed, and nothing on the pool of threads, whose order nobody knows. */
function cryptography(world: World): Replaceable {
  const { verify } = { ...crypto };
  return {
    randomFillSync: <T extends Uint8Array>(bytes: T): T => {
      world.random.fill(bytes);
      return bytes;
    },
    generateKeyPairSync: () => {
      const secret = Buffer.alloc(32);
      world.random.fill(secret);
      const key = Buffer.concat([PKCS8_PREFIX, secret]);
      const privateKey = crypto.createPrivateKey({ key, format: "der", type: "pkcs8" });
      return { privateKey, publicKey: crypto.createPublicKey(privateKey) };
    },
    verify: (
      algorithm: null,
      data: Uint8Array,
      key: KeyObject,
      signature: Uint8Array,
      told?: (error: null, good: boolean) => void,
    ) => {
      const good = verify(algorithm, data, key, signature);
      if (told) queueMicrotask(() => told(null, good));
      return good;
    },
  };
}

/** Whoever is at it has a disk, which is told what is done to files that lie on it. */
function files(world: World): Replaceable {
  const { openSync, closeSync, writeSync, ftruncateSync, renameSync, rmSync } = { ...fs };
  const diskOf = (path: string) => (world.current.disk?.holds(path) ? world.current.disk : undefined);
  return {
    openSync: (path: string, flags: string, mode?: number) => {
      const file = openSync(path, flags, mode);
      diskOf(path)?.opened(file, path);
      return file;
    },
    closeSync: (file: number) => {
      world.current.disk?.closed(file);
      closeSync(file);
    },
    writeSync: (file: number, data: string | Buffer, ...rest: number[]) => {
      const disk = world.current.disk;
      const path = disk?.pathOf(file);
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      const [offset = 0, length = bytes.length, position = null] = rest;
      const partly = path === undefined ? undefined : disk!.writing(path, length);
      const written = writeSync(file, bytes, offset, partly ?? length, position);
      if (partly === undefined) return written;
      disk!.crashed();
      return length;
    },
    ftruncateSync: (file: number, length?: number) => {
      const path = world.current.disk?.pathOf(file);
      if (path !== undefined && world.current.disk!.writing(path, 0) !== undefined) world.current.disk!.crashed();
      ftruncateSync(file, length);
    },
    fsyncSync: (file: number) => {
      const path = world.current.disk?.pathOf(file);
      if (path !== undefined) world.current.disk!.syncing(path);
    },
    renameSync: (from: string, to: string) => {
      diskOf(to)?.renaming(to, from);
      renameSync(from, to);
    },
    rmSync: (path: string, options?: fs.RmOptions) => {
      if (fs.statSync(path, { throwIfNoEntry: false })?.isFile()) diskOf(path)?.renaming(path);
      rmSync(path, options);
    },
  };
}

/** What the system tells of the processes of a machine (proc_pid_stat(5)): when each was started. */
function readingProcesses(world: World) {
  const { readFileSync } = { ...fs };
  return (...given: Parameters<typeof readFileSync>) => {
    const asked = /^\/proc\/(\d+)\/stat$/.exec(String(given[0]));
    if (!asked) return readFileSync(...given);
    const pid = Number(asked[1]);
    const { host } = world.current.process;
    const found = world.processes.find((each) => each.alive && each.pid === pid && each.host === host);
    if (!found) throw Object.assign(new Error("there is no such process"), { code: "ENOENT" });
    return `${pid} (node) S ${"0 ".repeat(18)}${pid}`;
  };
}

/** Databases keep to the disk of whoever uses them: it knows which are open, and has its say in every commit. */
function databases(world: World): Replaceable {
  const { exec, prepare } = sqlite.DatabaseSync.prototype;
  return {
    exec(this: sqlite.DatabaseSync, sql: string): void {
      const { disk } = world.current;
      disk?.connected(this);
      if (sql === "COMMIT" && disk) disk.committing(() => exec.call(this, sql));
      else exec.call(this, sql);
    },
    prepare(this: sqlite.DatabaseSync, ...given: Parameters<typeof prepare>) {
      world.current.disk?.connected(this);
      return prepare.apply(this, given);
    },
  };
}
