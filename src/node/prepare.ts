// Opening a data directory: its database, keys, node id and checkpoints are there and fit each other, or it is not opened.
import type { KeyObject } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { ConfigError, EvidenceUnavailableError, KeyError, RailgateError, StoreMovedError } from "../core/errors.ts";
import { asFound, openReader, openWriter, placeName, type StoreAt } from "../store/open.ts";
import { claim, letGo, storeAt, type SharedStore } from "../store/shared.ts";
import { SIDE_META } from "../evidence/copy/rows.ts";
import type { StoreReader, StoreWriter } from "../store/store.ts";
import type { LogData } from "../evidence/ledger/messages.ts";
import {
  adoptKey,
  keyFile,
  loadGivenKey,
  loadKey,
  type KeyRole,
  type KeySource,
  type SigningKey,
} from "../evidence/keys/keys.ts";
import {
  checkpointPath,
  compareOrRestore,
  isInUse,
  logOriginOf,
  logsIn,
  nodeIdIn,
  noteLog,
  restoredAs,
  type Restored,
  type RestoreOptions,
} from "./restore.ts";

export interface PrepareOptions extends RestoreOptions {
  readonly store?: SharedStore | undefined;
  /** Whether this node cosigns logs of others, and so needs a key for it. */
  readonly witness?: object | undefined;
  readonly upstream?: object | undefined;
  readonly downstream?: readonly object[] | undefined;
}

/** What a data directory holds, once it is made sure of. */
export interface Prepared {
  /** Where its store is, with the claim to its id. */
  readonly at: StoreAt;
  readonly nodeId: string;
  readonly key: SigningKey;
  readonly log: LogData;
  /** What was said when it was restored. */
  readonly restored: Restored | undefined;
  /** Where logs are witnessed: what cosigns them. */
  readonly witnessKey: KeyObject | undefined;
}

/**
 * Makes sure of database, keys, node id and checkpoints, writing what is missing. Only the holder of the directory's lock may.
 * @throws KeyError, LogRolledBackError, CheckpointsMissingError, EvidenceUnavailableError see RailgateNode.open.
 */
export async function prepare(options: PrepareOptions, nowMs: number): Promise<Prepared> {
  mustStandApart(options);
  let claimed: StoreAt | undefined;
  try {
    const at = storeAt(options.dataDir, options.store);
    await using writer = await openWriter(at);
    await using reader = await openReader(at);
    await mustBeFinished(reader, placeName(at));
    const before = await nodeIdIn(reader, options.nodeId);
    // Whoever was restored or copied goes on under another id, and the one that it had may be in use.
    if (before !== undefined && options.afterRestore === undefined)
      claimed = await claim(at, before, options.store?.wait);
    await compareOrRestore(options, reader, writer, nowMs);
    const key = await prepareKey(options.dataDir, "event", reader, writer, nowMs, options.eventKey);
    const { privateKey, kid } = await prepareKey(options.dataDir, "log", reader, writer, nowMs);
    const nodeId =
      (await nodeIdIn(reader, options.nodeId)) ??
      `node-${key.kid
        .replaceAll(/[^a-zA-Z0-9]/g, "")
        .slice(0, 8)
        .toLowerCase()}`;
    claimed ??= await claim(at, nodeId, options.store?.wait);
    if ((await reader.meta("node_id")) !== nodeId) await writer.putMeta("node_id", nodeId);
    const origin = logOriginOf(options, nodeId);
    const log: LogData = {
      privateJwk: privateKey.export({ format: "jwk" }),
      origin,
      nodeId,
      checkpointFile: checkpointPath(options, nodeId),
    };
    mkdirSync(dirname(log.checkpointFile), { recursive: true, mode: 0o700 });
    await noteLog(reader, writer, { nodeId, origin, kid });
    const earlierIds = (await logsIn(reader)).flatMap((earlier) => (earlier.nodeId === nodeId ? [] : [earlier.nodeId]));
    const witness = options.witness && (await prepareKey(options.dataDir, "witness", reader, writer, nowMs));
    return {
      at: asFound(claimed),
      nodeId,
      key,
      log: { ...log, earlierIds },
      restored: await restoredAs(reader, nodeId),
      witnessKey: witness?.privateKey,
    };
  } catch (error) {
    await letGo(claimed);
    if (error instanceof RailgateError) throw error;
    if (options.store)
      throw new EvidenceUnavailableError(`railgate.store.url: ${(error as Error).message}`, { cause: error });
    const { path = "", message } = error as NodeJS.ErrnoException;
    const { dataDir, checkpointDir } = options;
    const [setting, place] =
      checkpointDir !== undefined && path.startsWith(checkpointDir)
        ? ["railgate.evidence.checkpoint_dir", checkpointDir]
        : ["railgate.data_dir", `the data directory ${dataDir}`];
    throw new EvidenceUnavailableError(`${setting}: ${place} cannot be used: ${message}`, { cause: error });
  }
}

/** Whoever sends, takes or settles records for several replicas would do it several times. @throws ConfigError */
function mustStandApart({ store, upstream, downstream = [] }: PrepareOptions): void {
  if (store && upstream)
    throw new ConfigError(
      "upstream",
      "cannot stand beside store: replicas that share a database send nothing upstream",
    );
  if (store && downstream.length > 0)
    throw new ConfigError("downstream", "cannot stand beside store: replicas that share a database take no records");
}

/** @throws StoreMovedError it is a copy, whichever node's data directory that was begun with, and what it is a copy of goes on. */
async function mustBeFinished(reader: StoreReader, place: string): Promise<void> {
  const of = (await reader.metaOfAll(SIDE_META.unfinished)).find((name) => name !== "");
  if (of !== undefined)
    throw new StoreMovedError(
      `${place} is a copy of ${of} that is not finished; finish it as it was begun: railgate store copy --from … --to … ` +
        "(with the same --data-dir, and --cut-over where a node runs on a data directory)",
    );
}

/** The private key that the database names for a role; a new one where it names none yet. */
async function prepareKey(
  dataDir: string,
  role: KeyRole,
  reader: StoreReader,
  writer: StoreWriter,
  nowMs: number,
  source?: KeySource,
): Promise<SigningKey> {
  const [known] = (await reader.keys()).filter(isInUse(role));
  // A rotation or a restore that was recorded and whose end a crash prevented.
  if (known && !source) adoptKey(dataDir, known.kid, role);
  const key = source
    ? await loadGivenKey(source, "directory" in source ? known?.kid : undefined)
    : await loadKey(dataDir, role, known === undefined);
  if (known && known.kid !== key.kid)
    throw new KeyError(
      `the private key in ${source?.name ?? keyFile(dataDir, role)} is not ${known.kid}, with which this node signs; restore that one from its backup`,
    );
  if (!known)
    await writer.putKey({ kid: key.kid, role, jwk: key.publicJwk, created_at_ms: nowMs, retired_at_ms: null });
  return key;
}
