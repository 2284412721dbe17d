// Bundles that are kept, by the digest of the artifact they are about: their bytes lie among the shared artifacts.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { digestOf } from "../../core/event.ts";
import type { Blob, StateWrite, StoreReader } from "../../store/store.ts";

/** Whose the rows are: bundles are public statements, verified by what the operator pinned, so they count for every tenant. */
const TENANT = "default";

/** Of one artifact the newest so many are looked at; more are hardly ever made. */
const BUNDLES_OF_MAX = 16;

export interface BundleStore {
  /** The newest first. What is altered is not among them. @throws EvidenceUnavailableError the store cannot be read. */
  bundlesOf(subject: string): Promise<Blob[]>;
}

export function bundleStore(reader: StoreReader): BundleStore {
  return {
    bundlesOf: async (subject) => {
      try {
        return await bundlesIn(reader, subject);
      } catch (error) {
        throw new EvidenceUnavailableError(`the store cannot be read: ${(error as Error).message}`, { cause: error });
      }
    },
  };
}

async function bundlesIn(reader: StoreReader, subject: string): Promise<Blob[]> {
  const found: Blob[] = [];
  for (const { value } of await reader.referring("provenance", TENANT, subject, BUNDLES_OF_MAX)) {
    const digest = JSON.parse(value) as string;
    const bytes = await reader.artifact(digest);
    if (bytes !== undefined && digestOf(bytes) === digest) found.push({ digest, bytes });
  }
  return found;
}

/** That a bundle is about an artifact; written again, it is the newest. */
export const keeping = (subject: string, digest: string, nowMs: number): StateWrite => ({
  kind: "provenance",
  tenant_id: TENANT,
  key: `${subject} ${digest}`,
  value: JSON.stringify(digest),
  ref: subject,
  rank: -nowMs,
});
