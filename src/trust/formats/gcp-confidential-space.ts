// Google Confidential Space: a JWT in OIDC form (keys pinned) or PKI form (`x5c`), about the container that runs and the image it runs on.
import { maybe, reading, flag, record, text, texts, Unreadable, type Claims } from "../claims.ts";
import { isDigest } from "../../core/digest.ts";
import type { Format } from "./format.ts";
import { debugState, nonces, NOTHING_MORE, registered, within } from "./parts.ts";

export const gcpConfidentialSpace: Format = {
  algorithms: ["RS256"],
  refersByDigest: true,
  read: reading((claims) => {
    const submods = within(claims, "submods");
    return {
      ...NOTHING_MORE,
      ...registered(claims),
      platform_type: PLATFORMS.get(text(claims.hwmodel)) ?? "unknown",
      result: isProduction(claims, submods) ? "pass" : "fail",
      debuggable: maybe(debugState, claims.dbgstat),
      image_digests: imageDigests(within(submods, "container")),
      nonces: nonces(claims.eat_nonce),
    };
  }),
};

const PLATFORMS = new Map([
  ["GCP_INTEL_TDX", "intel-tdx"],
  ["GCP_AMD_SEV_SNP", "amd-sev-snp"],
  ["GCP_AMD_SEV", "amd-sev"],
  ["GCP_AMD_SEV_ES", "amd-sev"],
  ["GCP_SHIELDED_VM", "vtpm"],
]);

/** The production image, of a supported release, booted securely, with the container started as its author meant it. */
function isProduction(claims: Claims, submods: Claims): boolean {
  const container = within(submods, "container");
  const support = within(submods, "confidential_space").support_attributes;
  const holds = [
    maybe(text, claims.dbgstat) === "disabled-since-boot",
    maybe(flag, claims.secboot) === true,
    maybe(text, claims.swname) === "CONFIDENTIAL_SPACE",
    (support === undefined ? [] : texts(support)).includes("STABLE"),
    isNothing(container.env_override),
    isNothing(container.cmd_override),
  ];
  return holds.every(Boolean);
}

/** Null, or empty. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return (Array.isArray(value) ? texts(value) : Object.keys(record(value))).length === 0;
}

function imageDigests({ image_digest }: Claims): string[] {
  if (image_digest === undefined) return [];
  const digest = text(image_digest);
  if (!isDigest(digest)) throw new Unreadable();
  return [digest];
}
