// Load on one HTTP endpoint: `wrk` where it is installed (it leaves the processors to the server), else autocannon.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import autocannon from "autocannon";

export interface Load {
  readonly url: string;
  readonly body: string;
  /** Each connection asks with its own share of these in turn, as many for each; default: `body` alone. */
  readonly bodies?: readonly string[];
  readonly connections: number;
  readonly seconds: number;
}

export interface Measured {
  readonly tool: "wrk" | "autocannon";
  readonly requests: number;
  readonly requestsPerS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx, and connections that broke. */
  readonly failed: number;
}

const haveWrk = spawnSync("wrk", ["--version"]).error === undefined;

export async function load(wanted: Load): Promise<Measured> {
  return haveWrk ? wrk(wanted) : cannon(wanted);
}

function wrk({ url, body, bodies = [body], connections, seconds }: Load): Measured {
  const dir = mkdtempSync(join(tmpdir(), "railgate-bench-"));
  try {
    const script = join(dir, "post.lua");
    writeFileSync(
      script,
      `
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local bodies = {${bodies.map((each) => `[==[${each}]==]`).join(",")}}
local asked = 0
request = function()
  asked = asked + 1
  return wrk.format(nil, nil, nil, bodies[asked % #bodies + 1])
end
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT %d %f %f %f %d\\n", summary.requests, summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
`,
    );
    const run = spawnSync("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, url], { encoding: "utf8" });
    const result = /^RESULT (\S+) (\S+) (\S+) (\S+) (\S+)$/m.exec(run.stdout);
    if (!result) throw new Error(`wrk failed: ${run.stderr}${run.stdout}`);
    const [requests, requestsPerS, p50Ms, p99Ms, failed] = result.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { tool: "wrk", requests, requestsPerS, p50Ms, p99Ms, failed };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function cannon({ url, body, bodies, connections, seconds }: Load): Promise<Measured> {
  let clients = 0;
  const result = await autocannon({
    url,
    method: "POST",
    body,
    connections,
    duration: seconds,
    headers: { "content-type": "application/json" },
    ...(bodies && {
      setupClient(client) {
        const each = Math.floor(bodies.length / connections);
        const share = bodies.slice(clients * each, ++clients * each);
        client.setRequests(share.map((body) => ({ body })));
      },
    }),
  });
  return {
    tool: "autocannon",
    requests: result.requests.total,
    requestsPerS: result.requests.average,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    failed: result.non2xx + result.errors,
  };
}
