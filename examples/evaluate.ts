// Evaluation alone: a verified bundle, an input, an answer in microseconds; no store and no keys. Run: npx node examples/evaluate.ts
import { readFile } from "node:fs/promises";
import { loadBundle } from "railgate/policy";

const bundles = new URL("../bundles/", import.meta.url);
const keys = JSON.parse(await readFile(new URL("railgate.jwks.json", bundles), "utf8"));
const policy = await loadBundle(await readFile(new URL("railgate.tar.gz", bundles)), { keys });

const workload = { workload_id: "payments-api", tenant_id: "acme", classification: "secret" };
const decision = policy.evaluate("railgate/admission/decision", { request: { workload }, facts: {}, context: {} }) as {
  outcome: string;
  refusals: { rule: string; pointer: string }[];
};

console.log(`policy ${policy.revision}: ${decision.outcome}`);
for (const { rule, pointer } of decision.refusals) console.log(`  ${rule} at ${pointer}`);
