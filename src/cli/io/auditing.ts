// Who judges the files of an audit: this thread, or where they are many threads, one a core.
import type { ManifestJudge, ManifestModes } from "../../library/manifests.ts";
import type { Config } from "../../node/config/config.ts";
import { ThreadPool } from "../../threads/threads.ts";
import { auditFile, type Audited } from "./audited.ts";
import type { ManifestFile } from "./manifests.ts";

/** What was found in a file, and why the host refused in the policy's place (POL-03) in it or in one that is judged beside it. */
export interface JudgedFile {
  readonly audited: readonly Audited[];
  readonly problems: readonly string[];
}

/** What all files are judged by. */
export interface AuditBasis {
  readonly config: Config;
  readonly modes: ManifestModes;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** All that the files hold, as objects. */
  readonly namespaces: readonly unknown[];
}

/** What a thread is asked: first what it judges by, then files. */
export type AuditRequest =
  | ({ readonly kind: "begin" } & AuditBasis)
  | { readonly kind: "file"; readonly file: ManifestFile };

/** So many characters take two seconds to judge; less than that is not worth starting threads. */
const FEW_CHARS = 1024 * 1024;
const YOUNG_MIB_MAX = 16;

/**
 * Judges files one after the other.
 * @param judge that of this thread, which knows the namespaces already. @param chars how many there are in all.
 */
export async function* judged(
  files: Iterable<ManifestFile>,
  chars: number,
  judge: ManifestJudge,
  basis: AuditBasis,
): AsyncGenerator<JudgedFile> {
  if (chars > FEW_CHARS) yield* judgedOnThreads(files, basis);
  else for (const file of files) yield { audited: await auditFile(judge, file), problems: [] };
}

/** In order, several at once. */
async function* judgedOnThreads(files: Iterable<ManifestFile>, basis: AuditBasis): AsyncGenerator<JudgedFile> {
  const pool = new ThreadPool<AuditRequest, JudgedFile>("./audit-worker", import.meta.url, {
    youngMiBMax: YOUNG_MIB_MAX,
  });
  try {
    await pool.tell({ kind: "begin", ...basis });
    const running: Promise<JudgedFile>[] = [];
    for (const file of files) {
      const job = pool.ask({ kind: "file", file });
      job.catch(() => {});
      running.push(job);
      if (running.length > 2 * pool.size) yield await running.shift()!;
    }
    for (const job of running) yield await job;
  } finally {
    await pool.close();
  }
}
