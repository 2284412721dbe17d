// Load on one mesh: clients that place a workload, elevate it twice and take it off again, over and over.
import { Agent, request } from "node:http";

export interface MeshMeasured {
  readonly commandsPerS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx. */
  readonly failed: number;
}

type Sent = readonly [method: string, path: string, body?: object];

const MESH = "/v1/meshes/bench";
const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 1000 },
  { rail_id: "sandbox", level: "sandbox_isolated", latency_overhead_us: 50, capacity: 1000 },
  { rail_id: "enclave", level: "hardware_isolated", latency_overhead_us: 500, capacity: 1000 },
];
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: true,
  latency_budget_us: 500,
};

/** Each client waits for its answer before it sends its next command; every command changes the same mesh. */
export async function meshLoad(
  url: string,
  { clients, seconds }: { clients: number; seconds: number },
): Promise<MeshMeasured> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const tookMs: number[] = [];
  let failed = 0;
  await send(url, agent, ["PUT", `${MESH}/topology`, { rails: RAILS }]);
  const started = performance.now();
  const endMs = started + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let n = 0; performance.now() < endMs; n++) {
        for (const command of life(`w-${client}-${n}`)) {
          const sent = performance.now();
          if ((await send(url, agent, command)) >= 300) failed++;
          tookMs.push(performance.now() - sent);
        }
      }
    }),
  );
  const elapsedMs = performance.now() - started;
  agent.destroy();
  tookMs.sort((a, b) => a - b);
  const quantile = (q: number) => tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * q))]!;
  return { commandsPerS: tookMs.length / (elapsedMs / 1000), p50Ms: quantile(0.5), p99Ms: quantile(0.99), failed };
}

const life = (workload_id: string): readonly Sent[] => [
  ["POST", `${MESH}/placements`, { workload_id, rail_id: "fast", policy: POLICY }],
  ["POST", `${MESH}/placements/${workload_id}/elevation`, { target_rail_id: "sandbox" }],
  ["POST", `${MESH}/placements/${workload_id}/elevation`, { target_rail_id: "enclave" }],
  ["DELETE", `${MESH}/placements/${workload_id}`],
];

/** @returns the status. */
function send(url: string, agent: Agent, [method, path, body]: Sent): Promise<number> {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers = bytes === undefined ? {} : { "content-type": "application/json", "content-length": bytes.length };
  return new Promise((resolve, reject) => {
    const sent = request(url + path, { method, agent, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode!));
    });
    sent.on("error", reject);
    sent.end(bytes);
  });
}
