// Opens a store where it lies. What kind of database it is, nobody outside this folder knows.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { checkDatabase, copyDatabase } from "./sqlite/check.ts";
import { fileAt } from "./sqlite/files.ts";
import { SqliteReader } from "./sqlite/reader.ts";
import { SqliteWriter } from "./sqlite/writer.ts";
import { shownAddress, type DatabaseAt } from "./postgres/address.ts";
import type { CopySource, CopyTarget, StoreReader, StoreWriter } from "./store.ts";

/** The very store that was found in a data directory: if another lies there later, that is not opened. */
export interface FileAt {
  readonly path: string;
  /** As `fileAt` gave it. */
  readonly place: string;
}

/** Where a store is: a data directory or a database's file, the very one that was found there, or a server that several nodes share. */
export type StoreAt = string | FileAt | DatabaseAt;

export const isShared = (at: StoreAt): at is DatabaseAt => typeof at !== "string" && "url" in at;

const pathOf = (at: string | FileAt): string => (typeof at === "string" ? at : at.path);
const fileOf = (at: string | FileAt): string => storeFile(pathOf(at));
const placeOf = (at: string | FileAt): string | undefined => (typeof at === "string" ? undefined : at.place);

/** Where a data directory keeps its database; a database may be named by itself, too. */
export const storeFile = (at: string): string => (at.endsWith(".db") ? at : join(at, "railgate.db"));

/** For people. */
export const placeName = (at: StoreAt): string => (isShared(at) ? shownAddress(at.url) : pathOf(at));

export const storeExists = (at: string): boolean => existsSync(storeFile(at));

/** Whether there is a store to read. @throws Error a server cannot be asked. */
export async function holdsStore(at: StoreAt): Promise<boolean> {
  if (isShared(at)) return (await import("./postgres/check.ts")).hasTables(at);
  return existsSync(fileOf(at));
}

/**
 * Opens or creates a data directory's store for writing, and brings one of an earlier version up to date. Only the holder of
 * the directory's lock may. The very one that was found is never made.
 * @throws DisplacedError it is another one.
 */
export async function openWriter(at: StoreAt): Promise<StoreWriter> {
  if (isShared(at)) return (await import("./postgres/writer.ts")).PostgresWriter.open(at);
  return new SqliteWriter(fileOf(at), placeOf(at));
}

/** @returns the very store that lies there now. @throws DisplacedError there is none. */
export function asFound(at: StoreAt): StoreAt {
  if (typeof at !== "string") return at;
  return { path: at, place: fileAt(storeFile(at)) };
}

/** Opens a store for reading; the writer may be another thread or process. @throws DisplacedError it is another one. */
export async function openReader(at: StoreAt): Promise<StoreReader> {
  if (isShared(at)) return (await import("./postgres/reader.ts")).PostgresReader.open(at);
  return new SqliteReader(fileOf(at), placeOf(at));
}

/** Opens a store to copy all that it has; its node may write it meanwhile. */
export async function openCopySource(at: StoreAt): Promise<CopySource> {
  if (isShared(at)) return (await import("./postgres/copy.ts")).openPostgresSource(at);
  return new SqliteReader(fileOf(at), placeOf(at));
}

/** Opens or creates a store to copy into. */
export async function openCopyTarget(at: StoreAt): Promise<CopyTarget> {
  if (isShared(at)) return (await import("./postgres/copy.ts")).openPostgresTarget(at);
  return new SqliteWriter(fileOf(at), placeOf(at));
}

/**
 * Copies a store into a folder that has none, as of one moment, beside whoever writes it; nothing that was erased is in the copy.
 * It holds up its thread, and the writer no longer than any reader does.
 * @throws Error there is no room, or it cannot be read.
 */
export function copyStore(at: string, toFolder: string): void {
  copyDatabase(storeFile(at), storeFile(toFolder));
}

/** What a store takes on the disk, in bytes. */
export function storeBytes(at: string): number {
  const size = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return size(storeFile(at)) + size(`${storeFile(at)}-wal`);
}

/**
 * What the database itself finds wrong with its files, or what a server does not promise; undefined if nothing, null if there is none.
 * @throws Error a server cannot be asked.
 */
export async function checkStore(at: StoreAt): Promise<string | undefined | null> {
  if (!(await holdsStore(at))) return null;
  if (isShared(at)) return (await import("./postgres/check.ts")).checkServer(at);
  return checkDatabase(fileOf(at));
}
