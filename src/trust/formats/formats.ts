// The formats of attestation tokens by their names in settings and facts.
import type { ATTESTATION_FORMATS } from "../../core/schema/input.ts";
import { ear } from "./ear.ts";
import type { Format } from "./format.ts";
import { gcpConfidentialSpace } from "./gcp-confidential-space.ts";
import { intelTrustAuthority } from "./intel-trust-authority.ts";
import { maa } from "./maa.ts";
import { nvidiaNras } from "./nvidia-nras.ts";
import { railgate } from "./railgate.ts";

export type FormatName = (typeof ATTESTATION_FORMATS)[number];

export const FORMATS: Readonly<Record<FormatName, Format>> = {
  railgate,
  ear,
  maa,
  "gcp-confidential-space": gcpConfidentialSpace,
  "nvidia-nras": nvidiaNras,
  "intel-trust-authority": intelTrustAuthority,
};
