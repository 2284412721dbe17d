// A thread that verifies bundles against what it was told is pinned.
import { answerRequests } from "../../threads/threads.ts";
import type { BundleRequest } from "./pool.ts";
import { makeVerifier, type BundleVerifier, type Verdict } from "./verify.ts";

let verify: BundleVerifier | undefined;

answerRequests<BundleRequest, Verdict | null>((request) => {
  if ("bundle" in request) return verify!(request.bundle);
  verify = makeVerifier(request.config).verify;
  return null;
});
