// Deciding again what an export or a data directory holds; see evidence/replay.
import { readCandidate, replay, ReplayError, type ReplayReport } from "../evidence/replay/replay.ts";
import { isExport, isThere, NoExportError } from "./exports.ts";

export type { DecisionChange, ReplayReport } from "../evidence/replay/replay.ts";

/**
 * @param path an export, a data directory, or its database.
 * @param bundle of a candidate, to see what it would have decided otherwise.
 * @throws NoExportError it is none of these. @throws ReplayError it cannot be replayed.
 */
export async function replayAll(
  path: string,
  { bundle, progress }: { readonly bundle?: string | undefined; progress(decisions: number): void },
): Promise<ReplayReport> {
  const candidate = bundle === undefined ? undefined : readCandidate(bundle);
  try {
    return await replay(path, { candidate, progress });
  } catch (error) {
    if (!(error instanceof ReplayError) || !isThere(path) || (await isExport(path))) throw error;
    throw new NoExportError(`${path} is neither an export nor a data directory: ${error.message}`, { cause: error });
  }
}
