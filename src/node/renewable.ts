// Trust that may be renewed while it is in use.
import type { Trust } from "../trust/trust.ts";

/** What is pinned may be renewed while it is in use. */
export const renewable = (trust: () => Trust): Trust => ({
  verify: (request, against) => trust().verify(request, against),
  verifyAttestation: (token, against, devices) => trust().verifyAttestation(token, against, devices),
  override: (token, digest, nowMs) => trust().override(token, digest, nowMs),
  get provenance() {
    return trust().provenance;
  },
  close: () => trust().close(),
});
