// After a restore: a copy of a node must not sign a second history, so it goes on under another id, with new keys, and says so (spec api §2, Operators).
import { createPublicKey } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  CheckpointsMissingError,
  ConfigError,
  KeyError,
  LogRolledBackError,
  StoreMovedError,
  type RailgateError,
} from "../core/errors.ts";
import { SIDE_META } from "../evidence/copy/rows.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { saysNothing } from "../core/text.ts";
import { checkpointFile, openCheckpoints } from "../evidence/log/checkpoints.ts";
import { rawPublicKey } from "../evidence/log/note-signing.ts";
import type { LogIdentity } from "../evidence/log/log.ts";
import { signHandOver } from "../evidence/keys/hand-over.ts";
import {
  adoptKey,
  freshKey,
  loadGivenKey,
  loadKey,
  makeNextKey,
  type KeyRole,
  type KeySource,
  type SigningKey,
} from "../evidence/keys/keys.ts";
import type { KeyRow, StoreReader, StoreWriter, StreamRow } from "../store/store.ts";

export interface RestoreOptions {
  readonly dataDir: string;
  readonly nodeId?: string | undefined;
  readonly eventKey?: KeySource | undefined;
  readonly logOrigin?: string | undefined;
  readonly checkpointDir?: string | undefined;
  /** Why this is a restored copy, in the operator's words: the node goes on under another id, with new keys. */
  readonly afterRestore?: string | undefined;
}

/** What an operator said when a copy was first started. */
export interface Restored {
  readonly node_id: string;
  /** Whose streams it may only read. */
  readonly from: string;
  readonly reason: string;
}

/** Of the streams of earlier ids, which are no longer written, and of the present one last. */
const LOGS = "logs";
const RESTORED = "restored";
const REASON_CHARS_MAX = 1024;

/** Whether a stream is this node's to write. */
const isOwn = (chainId: string, nodeId: string): boolean => chainId.endsWith(`/${nodeId}`);

/** The id in use: the one that the settings give, or what restores have made of it; undefined for a node that is new. */
export async function nodeIdIn(reader: StoreReader, configured: string | undefined): Promise<string | undefined> {
  const stored = await reader.meta("node_id");
  if (configured === undefined || stored === undefined) return configured ?? stored;
  return baseOf(stored) === configured ? stored : configured;
}

export function checkpointPath({ dataDir, checkpointDir }: RestoreOptions, nodeId: string): string {
  return checkpointFile(checkpointDir ?? join(dataDir, DEFAULTS.checkpointDir), nodeId);
}

export function logOriginOf({ logOrigin }: Pick<RestoreOptions, "logOrigin">, nodeId: string): string {
  return logOrigin ?? `railgate.local/${nodeId}`;
}

/** What was said of the node's present id; undefined where it was never restored. */
export async function restoredAs(reader: StoreReader, nodeId: string): Promise<Restored | undefined> {
  const text = await reader.meta(RESTORED);
  const restored = text === undefined ? undefined : (JSON.parse(text) as Restored);
  return restored?.node_id === nodeId ? restored : undefined;
}

/**
 * Compares the database with the checkpoints that were signed, and, where the operator says that it was restored, makes it go on
 * as another node. To say it again for the same reason changes nothing.
 * @throws LogRolledBackError, CheckpointsMissingError it is not what was signed, or nobody can tell, and nobody has said why.
 */
export async function compareOrRestore(
  options: RestoreOptions,
  reader: StoreReader,
  writer: StoreWriter,
  nowMs: number,
): Promise<void> {
  const { afterRestore: reason } = options;
  if (reason !== undefined && (saysNothing(reason) || reason.length > REASON_CHARS_MAX))
    throw new ConfigError("afterRestore", `must be a reason, of ${REASON_CHARS_MAX} characters at most`);
  const nodeId = await nodeIdIn(reader, options.nodeId);
  if (nodeId === undefined) return;
  const problem = await problemWith(options, reader, nodeId);
  if (reason === undefined) {
    if (problem) throw problem;
    return;
  }
  const isNew = !(await reader.log.streams()).some(({ chain_id }) => isOwn(chain_id, nodeId));
  if (!problem && (isNew || (await restoredAs(reader, nodeId))?.reason === reason)) return;
  await goOnAsAnother(options, reader, writer, nodeId, reason, nowMs);
}

/** Notes which key signs the logs of which id, so that the streams of earlier ids can still be checked. */
export async function noteLog(reader: StoreReader, writer: StoreWriter, log: LogIdentity): Promise<void> {
  const known = JSON.parse((await reader.meta(LOGS)) ?? "[]") as LogIdentity[];
  const last = known.at(-1);
  if (last?.nodeId === log.nodeId && last.origin === log.origin && last.kid === log.kid) return;
  await writer.putMeta(LOGS, JSON.stringify([...known, log]));
}

/** Who signs, or signed, the logs in this database, each with its public key (32 bytes); the present id last. */
export async function logsIn(
  reader: StoreReader,
  logOrigin?: string,
): Promise<(LogIdentity & { readonly publicKey: Uint8Array })[]> {
  const noted = (await reader.metaOfAll(LOGS)).flatMap((text) => JSON.parse(text) as LogIdentity[]);
  const nodeId = (await reader.meta("node_id")) ?? "";
  const kid = (await inUse(reader, "log"))?.kid ?? "";
  const logs = noted.length > 0 ? noted : [{ nodeId, origin: logOriginOf({ logOrigin }, nodeId), kid }];
  const keys = await reader.keys();
  return logs.map((log) => {
    const key = keys.find((row) => row.kid === log.kid);
    return { ...log, publicKey: key ? publicKeyOf(key) : new Uint8Array() };
  });
}

const publicKeyOf = ({ jwk }: KeyRow): Uint8Array => rawPublicKey(createPublicKey({ key: jwk, format: "jwk" }));

async function problemWith(
  options: RestoreOptions,
  reader: StoreReader,
  nodeId: string,
): Promise<RailgateError | undefined> {
  const movedTo = await reader.meta(SIDE_META.movedTo);
  if (movedTo)
    return new StoreMovedError(
      `${nodeId} has gone over to ${movedTo} (railgate store copy --cut-over), and two of it would show two histories. ` +
        'To go on here as another node, say why: railgate serve --after-restore "why"',
    );
  const path = checkpointPath(options, nodeId);
  const own = (await reader.log.streams()).filter(({ chain_id }) => isOwn(chain_id, nodeId));
  if (!existsSync(path) && (await anyCheckpoint(reader, own)))
    return new CheckpointsMissingError(
      `the database has checkpoints that ${nodeId} has signed, and ${path}, which holds them as well, is not there. If it was only mislaid, bring it back. ` +
        'If this data directory was restored or copied, say so: railgate serve --after-restore "why"',
    );
  try {
    await openCheckpoints(path, reader.log, await logKeyIn(reader), (chainId) => isOwn(chainId, nodeId));
    return undefined;
  } catch (error) {
    if (error instanceof LogRolledBackError) return error;
    throw error;
  }
}

async function anyCheckpoint(reader: StoreReader, streams: readonly StreamRow[]): Promise<boolean> {
  for (const { chain_id } of streams) if (await reader.log.checkpoint(chain_id)) return true;
  return false;
}

/** The log's public key, 32 bytes; one that verifies nothing where there is none yet. */
async function logKeyIn(reader: StoreReader): Promise<Uint8Array> {
  const key = await inUse(reader, "log");
  return key ? publicKeyOf(key) : new Uint8Array(32);
}

const inUse = async (reader: StoreReader, role: KeyRole): Promise<KeyRow | undefined> =>
  (await reader.keys()).find(isInUse(role));

/** Of this node's own keys. */
export const isInUse =
  (role: KeyRole) =>
  (key: KeyRow): boolean =>
    key.role === role && key.node_id === undefined && key.retired_at_ms === null;

async function goOnAsAnother(
  options: RestoreOptions,
  reader: StoreReader,
  writer: StoreWriter,
  from: string,
  reason: string,
  nowMs: number,
): Promise<void> {
  const { dataDir, eventKey } = options;
  const nodeId = await nextId(options, reader, from);
  const log = await inUse(reader, "log");
  if (log) await noteLog(reader, writer, { nodeId: from, origin: logOriginOf(options, from), kid: log.kid });
  const rows: KeyRow[] = [];
  for (const role of ["event", "log", "witness"] as const) {
    const old = await inUse(reader, role);
    if (!old && role === "witness") continue;
    const oldKey = role === "event" && old ? await keyAtHand(dataDir, old.kid, eventKey) : undefined;
    const given = role === "event" && eventKey !== undefined;
    const used = (await reader.keys()).map(({ kid }) => kid);
    const key = given ? await freshKey(eventKey, used) : await makeNextKey(dataDir, role);
    if (old) rows.push({ ...old, retired_at_ms: nowMs });
    rows.push({
      kid: key.kid,
      role,
      jwk: key.publicJwk,
      hand_over: oldKey && signHandOver(oldKey, key, { from, to: nodeId }, nowMs),
      created_at_ms: nowMs,
      retired_at_ms: null,
    });
  }
  const restored: Restored = { node_id: nodeId, from, reason };
  await writer.putAll(rows, { node_id: nodeId, [RESTORED]: JSON.stringify(restored), [SIDE_META.movedTo]: "" });
  for (const { kid, role, retired_at_ms } of rows) if (retired_at_ms === null) adoptKey(dataDir, kid, role);
}

/** The private key that was in use, where it is still there: in its file, or where keys are given from. */
async function keyAtHand(dataDir: string, kid: string, source: KeySource | undefined): Promise<SigningKey | undefined> {
  if (source === undefined) adoptKey(dataDir, kid);
  const places = [source && (() => loadGivenKey(source, kid)), () => loadKey(dataDir, "event", false)];
  for (const load of places) {
    try {
      const key = await load?.();
      if (key?.kid === kid) return key;
    } catch (error) {
      if (!(error instanceof KeyError)) throw error;
    }
  }
  return undefined;
}

/** `<id>-r<n>`, which neither the database nor the directory of checkpoints has seen. */
async function nextId(options: RestoreOptions, reader: StoreReader, from: string): Promise<string> {
  const chains = (await reader.log.streams()).map(({ chain_id }) => chain_id);
  for (let n = 1; ; n++) {
    const id = `${baseOf(from)}-r${n}`;
    if (id !== from && !chains.some((chain) => isOwn(chain, id)) && !existsSync(checkpointPath(options, id))) return id;
  }
}

const baseOf = (nodeId: string): string => nodeId.replace(/-r[1-9][0-9]*$/, "");
