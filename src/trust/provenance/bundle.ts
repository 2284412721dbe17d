// Reads a Sigstore bundle: bounded before it is parsed, of a known version, with one reading only.
import { bundleFromJSON, type Bundle } from "@sigstore/bundle";
import { parseStrict } from "../../core/json.ts";
import { must, StepError, within } from "./steps.ts";

export type { Bundle } from "@sigstore/bundle";

/** A bundle is seldom more than 20 KiB; what it says of many artifacts may take more. */
export const BUNDLE_BYTES_MAX = 1024 * 1024;
const BUNDLE_DEPTH_MAX = 64;

/** v0.1 to v0.3; the last in both spellings. */
const MEDIA_TYPES: ReadonlySet<unknown> = new Set([
  "application/vnd.dev.sigstore.bundle+json;version=0.1",
  "application/vnd.dev.sigstore.bundle+json;version=0.2",
  "application/vnd.dev.sigstore.bundle+json;version=0.3",
  "application/vnd.dev.sigstore.bundle.v0.3+json",
]);

// Bundles have one entry, one timestamp, and a proof as long as the log's tree is high.
const LOG_ENTRIES_MAX = 4;
const TIMESTAMPS_MAX = 4;
const CERTIFICATES_MAX = 8;
const PROOF_HASHES_MAX = 64;

/** @throws StepError `too_large`, `malformed` */
export function readBundle(bytes: Uint8Array): Bundle {
  must(bytes.length <= BUNDLE_BYTES_MAX, "too_large", `larger than ${BUNDLE_BYTES_MAX} bytes`);
  const value = parsed(bytes);
  checkShape(value);
  return within("malformed", "not a Sigstore bundle", () => bundleFromJSON(value));
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return parseStrict(bytes, { bytesMax: BUNDLE_BYTES_MAX, depthMax: BUNDLE_DEPTH_MAX });
  } catch (error) {
    const { status } = error as { status?: number };
    throw new StepError(status === 413 ? "too_large" : "malformed", `not JSON: ${(error as Error).message}`);
  }
}

type Members = { readonly [name: string]: unknown };

/** What the library reads leniently: any version, the first of several alternatives, lists without end. */
function checkShape(value: unknown): void {
  const bundle = membersOf(value, "the bundle");
  must(MEDIA_TYPES.has(bundle["mediaType"]), "malformed", "mediaType is none of a Sigstore bundle v0.1 to v0.3");
  oneOfThem(bundle, ["messageSignature", "dsseEnvelope"]);
  must(bundle["dsseEnvelope"] !== undefined, "malformed", "it signs a file; provenance is a DSSE envelope");
  const material = membersOf(bundle["verificationMaterial"], "verificationMaterial");
  oneOfThem(material, ["certificate", "x509CertificateChain", "publicKey"]);
  const chain = material["x509CertificateChain"];
  if (chain !== undefined) listOf(membersOf(chain, "x509CertificateChain")["certificates"], CERTIFICATES_MAX);
  for (const entry of listOf(material["tlogEntries"], LOG_ENTRIES_MAX)) {
    const { inclusionProof } = membersOf(entry, "a log entry");
    if (inclusionProof !== undefined) listOf(membersOf(inclusionProof, "inclusionProof")["hashes"], PROOF_HASHES_MAX);
  }
  const timestamps = material["timestampVerificationData"];
  if (timestamps !== undefined)
    listOf(membersOf(timestamps, "timestampVerificationData")["rfc3161Timestamps"], TIMESTAMPS_MAX);
}

function membersOf(value: unknown, name: string): Members {
  must(
    typeof value === "object" && value !== null && !Array.isArray(value),
    "malformed",
    `${name} is missing or no object`,
  );
  return value as Members;
}

function oneOfThem(members: Members, names: readonly string[]): void {
  const given = names.filter((name) => members[name] !== undefined);
  must(given.length === 1, "malformed", `it must have one of ${names.join(", ")}`);
}

function listOf(value: unknown, lengthMax: number): unknown[] {
  if (value === undefined) return [];
  must(Array.isArray(value) && value.length <= lengthMax, "malformed", `a list of more than ${lengthMax}, or none`);
  return value;
}
