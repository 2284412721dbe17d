// A host that decides in its own process: signed and durable, with no server and no network. Run: npx node examples/embed.ts
import { readFile } from "node:fs/promises";
import { openRailgate } from "railgate";

await using gate = await openRailgate({ dataDir: process.env["RAILGATE_DATA_DIR"] ?? "./data" });

const request = JSON.parse(await readFile(new URL("requests/container-low-risk.json", import.meta.url), "utf8"));
const { decision, event, receipt } = await gate.admit(request);

console.log(`${request.workload.workload_id}: ${decision.outcome}, least rail level ${decision.rail.least_level}`);
for (const refusal of decision.refusals)
  console.log(`  ${refusal.rule} at ${refusal.pointer}: ${refusal.message} ${refusal.solution}`);
console.log(`evidence: ${event.chain_id} #${event.sequence}, receipt of ${receipt.length} bytes`);
