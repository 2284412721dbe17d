// A backup of a node that runs, made by a thread of its own.
import { BackupError, BackupUnsoundError } from "../../core/errors.ts";
import { ThreadPool } from "../../threads/threads.ts";

import type { Backup, BackupOptions } from "./make.ts";

export type ApartAnswer = { readonly backup: Backup } | { readonly code: string; readonly message: string };

/** As `makeBackup`, without holding up the thread that asks. */
export async function backUpApart(options: Omit<BackupOptions, "progress">): Promise<Backup> {
  const pool = new ThreadPool<Omit<BackupOptions, "progress">, ApartAnswer>("./worker", import.meta.url);
  try {
    const answer = await pool.ask(options);
    if ("backup" in answer) return answer.backup;
    throw new (answer.code === BackupUnsoundError.code ? BackupUnsoundError : BackupError)(answer.message);
  } finally {
    await pool.close();
  }
}
