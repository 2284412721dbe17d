// A mesh in a host's own process: rails, placements, a promotion, and a demotion that is refused. Run: npx node examples/mesh.ts
import { openRailgate, RefusedError } from "railgate";

await using gate = await openRailgate({ dataDir: process.env["RAILGATE_DATA_DIR"] ?? "./data" });
const mesh = gate.mesh("edge-1");

await mesh.define({
  rails: [
    { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 100 },
    { rail_id: "sandbox", level: "sandbox_isolated", latency_overhead_us: 80, capacity: 20 },
    { rail_id: "enclave", level: "hardware_isolated", latency_overhead_us: 900, capacity: 2 },
  ],
});

// It may rise as far as a sandbox, and never to where it costs more than 100 µs.
const policy = {
  elevation_allowed: true,
  max_target_level: "sandbox_isolated",
  preserve_latency_budget: true,
  latency_budget_us: 100,
} as const;
const workload = `payments-${Date.now()}`;
await mesh.place(workload, "fast", policy);
const { placement, event } = await mesh.elevate(workload, "sandbox");
console.log(
  `${workload}: ${placement.elevations[0]!.from_level} → ${placement.level}, evidence ${event.chain_id} #${event.sequence}`,
);

for (const rail of ["enclave", "fast"]) {
  try {
    await mesh.elevate(workload, rail);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    console.log(`${rail}: ${error.code}, receipt of ${error.receipt.length} bytes. ${error.message}`);
  }
}

await mesh.remove(workload);
const shown = await mesh.show();
for (const [rail, { active_count, total_placed }] of Object.entries(shown!.rail_states))
  console.log(`${rail}: ${active_count} active, ${total_placed} placed`);
