// Exports as files: written as a folder or an archive, and read as a person would, event by event. Reading checks nothing: verifying does.
import { existsSync } from "node:fs";
import { ArchiveError, type ArchiveEntry } from "../archive/tar.ts";
import { digestOfPointer, hexOfDigest } from "../core/digest.ts";
import { RailgateError } from "../core/errors.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { PublicKeys } from "../evidence/keys/jwks.ts";
import { lineChunks } from "../evidence/verify/chunks.ts";
import { ARTIFACT_BYTES_MAX, ARTIFACT_PREFIX, isFileName } from "../evidence/verify/files.ts";
import { opened } from "../evidence/verify/node.ts";
import type { Shown } from "./shown.ts";

export { writeDurably } from "../store/files.ts";
export { checkpointSize } from "../evidence/verify/checks/since.ts";
export { writeFolder, writeTarGz } from "../evidence/export/files.ts";
export { verifyExport, type Check, type PinnedKeys, type VerifyReport } from "../evidence/verify/node.ts";

/** What was given is no export: no archive or folder, or none that holds one. */
export class NoExportError extends RailgateError {
  static override code = "no_export";
}

type Entries = () => AsyncIterable<ArchiveEntry>;

/** @throws NoExportError; Error of the file system */
async function open(path: string): Promise<Entries> {
  const entries = await opened(path);
  return () => readable(path, entries()!);
}

async function* readable(path: string, entries: AsyncIterable<ArchiveEntry>): AsyncGenerator<ArchiveEntry> {
  try {
    yield* entries;
  } catch (cause) {
    if (!(cause instanceof ArchiveError)) throw cause;
    throw new NoExportError(`${path} can't be read as an export: ${cause.message}`, { cause });
  }
}

/** Whether anything of an export can be found in it; what is damaged is one all the same. @throws Error of the file system */
export async function isExport(path: string): Promise<boolean> {
  try {
    for await (const { name } of (await open(path))()) if (isFileName(name)) return true;
  } catch (error) {
    if (!(error instanceof NoExportError)) throw error;
  }
  return false;
}

export const isThere = (path: string): boolean => existsSync(path);

/** The events of an export, in its order. @throws NoExportError */
export async function* exportedEvents(path: string): AsyncGenerator<EvidenceEvent> {
  for await (const line of linesOf(path, await open(path), "events.jsonl")) yield parsed(path, line) as EvidenceEvent;
}

/**
 * One event with all that the export holds of it.
 * @param wanted its id, or its number in its stream.
 * @returns undefined where there is none. @throws NoExportError
 */
export async function exportedEvent(path: string, wanted: string): Promise<Shown | undefined> {
  const entries = await open(path);
  let at = 0;
  for await (const line of linesOf(path, entries, "events.jsonl")) {
    const event = parsed(path, line) as EvidenceEvent;
    if (event.id === wanted || String(event.sequence) === wanted) {
      const blobs = [digestOfPointer(event.evidence_pointer), event.policy_snapshot_id];
      const files = await collected(entries, new Set(["keys.json", ...blobs.map(fileOf)]));
      const [artifact, policy] = blobs.map((digest) => files.get(fileOf(digest)));
      const keys = files.get("keys.json");
      return {
        event,
        record: await lineAt(path, entries, "records.jws", at),
        artifact,
        policy,
        keys: keys ? (parsed(path, Buffer.from(keys).toString("utf8")) as PublicKeys) : { keys: [] },
        inclusion: null,
      };
    }
    at++;
  }
  return undefined;
}

const fileOf = (digest: string | undefined): string =>
  `${ARTIFACT_PREFIX}${digest === undefined ? "" : hexOfDigest(digest)}`;

async function* linesOf(path: string, entries: Entries, file: string): AsyncGenerator<string> {
  for await (const { name, body } of entries()) {
    if (name !== file) continue;
    for await (const { bytes } of lineChunks(body))
      for (const line of Buffer.from(bytes.buffer, 0, bytes.length).toString("utf8").split("\n"))
        if (line !== "") yield line;
    return;
  }
  throw new NoExportError(`${path} holds no ${file}, so it is no export`);
}

async function lineAt(path: string, entries: Entries, file: string, at: number): Promise<string | undefined> {
  let i = 0;
  for await (const line of linesOf(path, entries, file)) if (i++ === at) return line;
  return undefined;
}

async function collected(entries: Entries, names: ReadonlySet<string>): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for await (const { name, size, body } of entries()) {
    if (!names.has(name) || size > ARTIFACT_BYTES_MAX) continue;
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part.slice());
    found.set(name, Buffer.concat(parts));
  }
  return found;
}

function parsed(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NoExportError(`${path} holds what is no JSON where an event or key should be`, { cause });
  }
}
