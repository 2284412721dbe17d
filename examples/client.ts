// A service that asks a node elsewhere, as if it were in this process. Run: node examples/client.ts, beside `npm start`
import { readFile } from "node:fs/promises";
import { connectRailgate } from "railgate/client";

const gate = connectRailgate({ url: process.env["RAILGATE_URL"] ?? "http://127.0.0.1:8181" });

const request = JSON.parse(await readFile(new URL("requests/container-low-risk.json", import.meta.url), "utf8"));
const { decision, event } = await gate.admit(request);
console.log(`${request.workload.workload_id}: ${decision.outcome}, ${event.chain_id} #${event.sequence}`);

const { items } = await gate.events({ outcome: "refused", limit: 5 });
for (const refused of items) console.log(`${refused.occurred_at} ${refused.subject}: ${refused.refusal_reason_code}`);
