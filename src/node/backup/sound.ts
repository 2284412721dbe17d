// Whether a copy of a data directory is worth having: a database that is whole, evidence that verifies, and the key that it is signed with.
import { existsSync } from "node:fs";
import { BackupUnsoundError } from "../../core/errors.ts";
import { eventKeyFile, loadEventKey } from "../../evidence/keys/keys.ts";
import { verifyStore } from "../../evidence/fsck/streams.ts";
import { checkStore, openReader } from "../../store/open.ts";
import { NoBackupError } from "./files.ts";

/** @param progress is told now and then how many events were verified. @throws BackupUnsoundError, NoBackupError */
export async function checkCopy(dir: string, progress: (events: number) => void): Promise<{ readonly events: number }> {
  const problem = await checkStore(dir);
  if (problem === null) throw new NoBackupError("it holds no database");
  if (problem !== undefined) throw new BackupUnsoundError(`the database is damaged: ${problem}`);
  await using store = await openReader(dir);
  const { streams, states, order, events } = await verifyStore(store, progress);
  for (const { chain_id, fault } of streams)
    if (fault) throw new BackupUnsoundError(`${chain_id}, event ${fault.sequence}: ${fault.message}`);
  if (states && states.length > 0) throw new BackupUnsoundError(`the state of ${states[0]} is not what its events say`);
  if (order.length > 0) throw new BackupUnsoundError(order[0]!);
  return { events };
}

/** Whether the private event key in it is the one that the database names; one that is given from elsewhere is not in it. */
export async function keyFits(dir: string): Promise<boolean> {
  if (!existsSync(eventKeyFile(dir))) return true;
  await using store = await openReader(dir);
  const used = (await store.keys()).find(({ role, retired_at_ms }) => role === "event" && retired_at_ms === null);
  return used === undefined || used.kid === (await loadEventKey(dir, false)).kid;
}
