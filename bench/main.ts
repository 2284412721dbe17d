// `npm run bench`: Railgate beside OPA on the same policy and input, measured in one run, told as ratios.
// `npm run bench -- evaluation|http|kubernetes|footprint|mesh|tokens|threads` for one part; `--seconds N` per measurement; `--json` for machines.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { digestOf } from "../src/core/event.ts";
import { buildInput, NO_TRUST } from "../src/core/facts.ts";
import { parseAdmissionRequest } from "../src/core/request.ts";
import { ADMISSION } from "../src/gate/commands/admission.ts";
import { DEFAULT_BUNDLE } from "../src/node/open.ts";
import { loadBundle } from "../src/policy/policy.ts";
import { ensureBin } from "../scripts/build.js";
import { ensureOpa } from "../src/workshop/opa.ts";
import { load, type Measured } from "./load.ts";
import { meshLoad } from "./mesh.ts";
import { NAMESPACE, reviewed } from "./reviews.ts";
import { freePort, start, type Server } from "./server.ts";
import { threadsBench } from "./threads.ts";

const CONNECTIONS = 32;
const ROUNDS = 3;
const FOOTPRINT_DECISIONS = 200_000;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
});
const seconds = Number(flags.seconds);
const opa = await ensureOpa();
await ensureBin();
const scratch = mkdtempSync(join(tmpdir(), "railgate-bench-"));
const requestText = readFileSync(new URL("../examples/requests/container-low-risk.json", import.meta.url), "utf8");
const body = JSON.stringify(JSON.parse(requestText));
const input = buildInput({
  request: parseAdmissionRequest(JSON.parse(requestText)),
  nowMs: Date.now(),
  caller: null,
  trust: NO_TRUST,
  workload: null,
  context: {
    partition: { state: "connected", since: null },
    policy: { age_s: null, snapshot_id: digestOf("") },
    authority: { age_s: null, snapshot_id: digestOf("") },
  },
});

/** One figure of ours beside OPA's. */
interface Row {
  readonly what: string;
  readonly unit: string;
  readonly railgate: number;
  readonly opa?: number;
  /** OPA's figure over ours where less is better, ours over OPA's where more is. */
  readonly ratio?: number;
}

/** One evaluation in this process, against `opa bench` (OPA's own evaluator, in its own process). */
async function evaluation(): Promise<Row[]> {
  const policy = await loadBundle(DEFAULT_BUNDLE.bytes(), { keys: DEFAULT_BUNDLE.keys });
  const decision = policy.evaluate(ADMISSION, input) as { outcome: string };
  if (decision.outcome !== "accepted")
    throw new Error("the example is not accepted; measuring refusals would flatter nobody");
  const bytes = new TextEncoder().encode(JSON.stringify(input));
  const evaluate = (from: () => void): { median: number; mean: number } => {
    for (let i = 0; i < 20_000; i++) from();
    const took = Array.from({ length: 20_000 }, () => {
      const started = process.hrtime.bigint();
      from();
      return Number(process.hrtime.bigint() - started) / 1000;
    }).sort((a, b) => a - b);
    return { median: took[took.length / 2]!, mean: took.reduce((a, b) => a + b) / took.length };
  };
  const fromObject = evaluate(() => policy.evaluate(ADMISSION, input));
  const fromText = evaluate(() => policy.evaluateText(ADMISSION, bytes));
  const opaUs = opaBenchUs();
  return [
    {
      what: "evaluation, input as object, median",
      unit: "µs",
      railgate: fromObject.median,
      opa: opaUs,
      ratio: opaUs / fromObject.median,
    },
    {
      what: "evaluation, input as object, mean",
      unit: "µs",
      railgate: fromObject.mean,
      opa: opaUs,
      ratio: opaUs / fromObject.mean,
    },
    { what: "evaluation, input as JSON text, median", unit: "µs", railgate: fromText.median },
  ];
}

/** Mean µs per evaluation, as `opa bench` reports it. */
function opaBenchUs(): number {
  const file = join(scratch, "input.json");
  writeFileSync(file, JSON.stringify(input));
  const run = spawnSync(
    opa,
    ["bench", "-b", "policy", "-i", file, "--format", "json", "data.railgate.admission.decision"],
    { encoding: "utf8" },
  );
  if (run.status !== 0) throw new Error(`opa bench: ${run.stderr}`);
  const { N, T } = JSON.parse(run.stdout) as { N: number; T: number };
  return T / N / 1000;
}

/** Whole requests over HTTP: ours signed and durable, OPA's neither. */
async function http(): Promise<Row[]> {
  const opaBody = JSON.stringify({ input });
  const ours: Measured[] = [];
  const theirs: Measured[] = [];
  const rss = { ours: 0, theirs: 0 };
  const first = { ours: 0, theirs: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    await withServer(railgateServer(join(scratch, `data-${round}`)), async (server) => {
      first.ours = server.firstAnswerMs;
      ours.push(await load({ url: `${server.url}/v1/admissions`, body, connections: CONNECTIONS, seconds }));
      rss.ours = server.rssMiB();
    });
    await withServer(opaServer(), async (server) => {
      first.theirs = server.firstAnswerMs;
      theirs.push(
        await load({
          url: `${server.url}/v1/data/railgate/admission/decision`,
          body: opaBody,
          connections: CONNECTIONS,
          seconds,
        }),
      );
      rss.theirs = server.rssMiB();
    });
  }
  return [
    ...compared("requests", ours, theirs),
    row("process start to first decision", "ms", first.ours, first.theirs, false),
    row("memory after the load", "MiB", rss.ours, rss.theirs, false),
  ];
}

/**
 * Pods reviewed as an API server has them reviewed, each signed and durable, against the time that it allows by default; OPA's server is
 * asked what the law is asked, by the same Rego: without AdmissionReviews to read and answer, and with its decision log off.
 */
async function kubernetes(): Promise<Row[]> {
  const { body: review, entrypoint, input: asked } = await reviewed(scratch);
  const path = "/v1/kubernetes/admission?timeout=10s";
  const ours: Measured[] = [];
  const theirs: Measured[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await withServer(railgateServer(join(scratch, `reviews-${round}`)), async ({ url }) => {
      const ask = async (text: string) =>
        (await (await fetch(url + path, { method: "POST", body: text })).json()) as { response: { allowed: boolean } };
      await ask(JSON.stringify(NAMESPACE));
      ours.push(await load({ url: url + path, body: review, connections: CONNECTIONS, seconds }));
      // Whatever fails is answered as well, and lets nothing pass.
      if (!(await ask(review)).response.allowed) throw new Error("the reviews let nothing pass");
    });
    await withServer(opaServer(), async ({ url }) => {
      const body = JSON.stringify({ input: asked });
      theirs.push(await load({ url: `${url}/v1/data/${entrypoint}`, body, connections: CONNECTIONS, seconds }));
    });
  }
  const rows = compared("reviews", ours, theirs);
  const p99Ms = rows.find(({ what }) => what.endsWith("p99"))!.railgate;
  return [...rows, { what: "p99 of the 10 s that an API server waits", unit: "%", railgate: p99Ms / 100 }];
}

const row = (what: string, unit: string, a: number, b: number, more: boolean): Row => ({
  what,
  unit,
  railgate: a,
  opa: b,
  ratio: more ? a / b : b / a,
});

/** Medians over the rounds. */
function compared(what: string, ours: Measured[], theirs: Measured[]): Row[] {
  for (const { failed } of [...ours, ...theirs]) if (failed > 0) throw new Error(`${failed} requests failed`);
  const median = (of: Measured[], figure: "requestsPerS" | "p50Ms" | "p99Ms") =>
    of.map((m) => m[figure]).sort((a, b) => a - b)[Math.floor(of.length / 2)]!;
  const at = `${what} at ${CONNECTIONS} connections (${ours[0]!.tool})`;
  return [
    row(at, "1/s", median(ours, "requestsPerS"), median(theirs, "requestsPerS"), true),
    row("latency p50", "ms", median(ours, "p50Ms"), median(theirs, "p50Ms"), false),
    row("latency p99", "ms", median(ours, "p99Ms"), median(theirs, "p99Ms"), false),
  ];
}

/** What many decisions leave behind. */
async function footprint(): Promise<Row[]> {
  const dataDir = join(scratch, "footprint");
  let before = 0;
  let after = 0;
  let decisions = 0;
  await withServer(railgateServer(dataDir), async (server) => {
    before = server.rssMiB();
    while (decisions < FOOTPRINT_DECISIONS) {
      const measured = await load({ url: `${server.url}/v1/admissions`, body, connections: CONNECTIONS, seconds: 5 });
      decisions += Math.round(measured.requestsPerS * 5);
      if (after === 0) before = server.rssMiB();
      after = server.rssMiB();
    }
  });
  const bytes = statSync(join(dataDir, "railgate.db")).size;
  return [
    { what: "memory after 5 s of load", unit: "MiB", railgate: before },
    { what: `memory after ${decisions} decisions`, unit: "MiB", railgate: after },
    { what: "stored per decision", unit: "bytes", railgate: bytes / decisions },
  ];
}

/** Commands that all change one mesh, signed and durable; OPA has nothing to set beside them. */
async function mesh(): Promise<Row[]> {
  const rows: Row[] = [];
  await withServer(railgateServer(join(scratch, "mesh")), async (server) => {
    const { commandsPerS, p50Ms, p99Ms, failed } = await meshLoad(server.url, { clients: CONNECTIONS, seconds });
    if (failed > 0) throw new Error(`${failed} mesh commands failed`);
    rows.push(
      { what: `commands on one mesh, ${CONNECTIONS} clients`, unit: "1/s", railgate: commandsPerS },
      { what: "mesh command p50", unit: "ms", railgate: p50Ms },
      { what: "mesh command p99", unit: "ms", railgate: p99Ms },
    );
  });
  return rows;
}

async function railgateServer(dataDir: string): Promise<Server> {
  const port = await freePort();
  const env = { RAILGATE_DATA_DIR: dataDir, RAILGATE_LISTEN: `127.0.0.1:${port}`, RAILGATE_LOG_LEVEL: "error" };
  return start(process.execPath, ["bin/cli/main.js", "serve"], env, `http://127.0.0.1:${port}`, {
    path: "/v1/admissions",
    body,
  });
}

async function opaServer(): Promise<Server> {
  const port = await freePort();
  const args = ["run", "--server", "--addr", `127.0.0.1:${port}`, "--log-level", "error", "-b", "policy"];
  return start(opa, args, {}, `http://127.0.0.1:${port}`, {
    path: "/v1/data/railgate/admission/decision",
    body: JSON.stringify({ input }),
  });
}

async function withServer(starting: Promise<Server>, work: (server: Server) => Promise<void>): Promise<void> {
  const server = await starting;
  try {
    await work(server);
  } finally {
    await server.stop();
  }
}

function show(rows: readonly Row[]): void {
  const figure = (value: number | undefined) => (value === undefined ? "" : value.toFixed(value < 100 ? 2 : 0));
  for (const { what, unit, railgate, opa: theirs, ratio } of rows) {
    console.log(
      `${what.padEnd(46)} ${figure(railgate).padStart(9)} ${figure(theirs).padStart(9)} ${unit.padEnd(6)} ${ratio === undefined ? "" : `${ratio.toFixed(2)}×`}`,
    );
  }
}

/** Attestation tokens of each format: no more than 5 ms the first time, and 50 µs once they are known. */
async function tokens(): Promise<Row[]> {
  const { tokenCosts } = await import("./tokens.ts");
  return (await tokenCosts()).flatMap(({ what, first_us, again_us }) => [
    { what: `token, ${what}: first`, unit: "µs", railgate: first_us },
    { what: `token, ${what}: again`, unit: "µs", railgate: again_us },
  ]);
}

const threads = () => threadsBench({ body, scratch, connections: CONNECTIONS, seconds });

const parts = { evaluation, http, kubernetes, footprint, mesh, tokens, threads };
const wanted = positionals.length > 0 ? positionals : Object.keys(parts);
const rows: Row[] = [];
try {
  if (!flags.json)
    console.log(
      `${"".padEnd(46)} ${"railgate".padStart(9)} ${"opa".padStart(9)}        ratio (above 1: railgate is better)`,
    );
  for (const name of wanted) {
    const part = parts[name as keyof typeof parts];
    if (!part) throw new Error(`there is no part "${name}"; there are ${Object.keys(parts).join(", ")}`);
    const measured = await part();
    rows.push(...measured);
    if (!flags.json) show(measured);
  }
  if (flags.json) console.log(JSON.stringify(rows, null, 2));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
