// `npm run bench`: Railgate beside OPA on the same policy and input, and over HTTP beside Cerbos, measured in one run, told as ratios.
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
import { CERBOS_PATH, cerbosBody, cerbosServer } from "./cerbos.ts";
import { load, type Load, type Measured } from "./load.ts";
import { meshLoad } from "./mesh.ts";
import { NAMESPACE, reviewed } from "./reviews.ts";
import { freePort, start, type Server } from "./server.ts";
import { threadsBench } from "./threads.ts";

const CONNECTIONS = 32;
const ROUNDS = 3;
/** Load that does not count, on every server alike: what is compiled or cached in its first seconds is no part of a server's usual day. */
const WARM_UP_S = 10;
/** Many and short: on a machine that is shared, one that is twice as fast a second later is nothing rare. */
const EVALUATION_TURNS = 10;
const EVALUATIONS = 4000;
const FOOTPRINT_DECISIONS = 200_000;
const OPA_PATH = "/v1/data/railgate/admission/decision";

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
  readonly cerbos?: number | undefined;
  /** The same of Cerbos'. */
  readonly cerbosRatio?: number | undefined;
}

/**
 * One evaluation in this process, against `opa bench` (OPA's own evaluator, in its own process): by turns, and of each the best
 * turn, since what else the machine does in one of them is nobody's merit.
 */
async function evaluation(): Promise<Row[]> {
  const policy = await loadBundle(DEFAULT_BUNDLE.bytes(), { keys: DEFAULT_BUNDLE.keys });
  const decision = policy.evaluate(ADMISSION, input) as { outcome: string };
  if (decision.outcome !== "accepted")
    throw new Error("the example is not accepted; measuring refusals would flatter nobody");
  const bytes = new TextEncoder().encode(JSON.stringify(input));
  const evaluate = (from: () => void): { median: number; mean: number } => {
    const took = Array.from({ length: EVALUATIONS }, () => {
      const started = process.hrtime.bigint();
      from();
      return Number(process.hrtime.bigint() - started) / 1000;
    }).sort((a, b) => a - b);
    return { median: took[took.length / 2]!, mean: took.reduce((a, b) => a + b) / took.length };
  };
  for (let i = 0; i < 20_000; i++) {
    policy.evaluate(ADMISSION, input);
    policy.evaluateText(ADMISSION, bytes);
  }
  const turns = Array.from({ length: EVALUATION_TURNS }, () => ({
    object: evaluate(() => policy.evaluate(ADMISSION, input)),
    text: evaluate(() => policy.evaluateText(ADMISSION, bytes)),
    opa: opaBenchUs(),
  }));
  const best = (of: "object" | "text", figure: "median" | "mean") => Math.min(...turns.map((turn) => turn[of][figure]));
  const fromObject = { median: best("object", "median"), mean: best("object", "mean") };
  const fromText = { median: best("text", "median") };
  const opaUs = Math.min(...turns.map((turn) => turn.opa));
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

/** What came of loading one server, round by round. */
interface Loaded {
  readonly measured: Measured[];
  readonly cpuUs: number[];
  rssMiB: number;
  firstMs: number;
}

const nothing = (): Loaded => ({ measured: [], cpuUs: [], rssMiB: 0, firstMs: 0 });

async function loaded(into: Loaded, starting: Promise<Server>, path: string, body: string): Promise<void> {
  await withServer(starting, async (server) => {
    into.firstMs = server.firstAnswerMs;
    const asked: Load = { url: server.url + path, body, connections: CONNECTIONS, seconds };
    await load({ ...asked, seconds: WARM_UP_S });
    const before = server.cpuMs();
    const measured = await load(asked);
    into.cpuUs.push(((server.cpuMs() - before) * 1000) / measured.requests);
    into.measured.push(measured);
    into.rssMiB = server.rssMiB();
  });
}

/** Whole requests over HTTP: ours signed and durable, OPA's neither; Cerbos' in its decision log, which it syncs when it gets to it. */
async function http(): Promise<Row[]> {
  const [ours, opas, cerbos] = [nothing(), nothing(), nothing()];
  const policy = await loadBundle(DEFAULT_BUNDLE.bytes(), { keys: DEFAULT_BUNDLE.keys });
  const law = (asked: unknown) => (policy.evaluate(ADMISSION, asked) as { outcome: string }).outcome === "accepted";
  for (let round = 0; round < ROUNDS; round++) {
    await loaded(ours, railgateServer(join(scratch, `data-${round}`)), "/v1/admissions", body);
    await loaded(opas, opaServer(), OPA_PATH, JSON.stringify({ input }));
    const server = await cerbosServer(scratch, input, law);
    if (server) await loaded(cerbos, Promise.resolve(server), CERBOS_PATH, cerbosBody(input));
  }
  const rows = compared("requests", ours.measured, opas.measured, cerbos.measured);
  const [least, theirs] = [Math.min(...ours.cpuUs), cerbos.measured.length > 0 ? cerbos : undefined];
  return [
    ...rows,
    beside(
      row("processor time a decision, least", "µs", least, Math.min(...opas.cpuUs), false),
      theirs && Math.min(...theirs.cpuUs),
    ),
    beside(row("process start to first decision", "ms", ours.firstMs, opas.firstMs, false), theirs?.firstMs),
    beside(row("memory after the load", "MiB", ours.rssMiB, opas.rssMiB, false), theirs?.rssMiB),
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

/** With Cerbos' figure, where there is one. */
function beside(row: Row, cerbos: number | undefined, more = false): Row {
  if (cerbos === undefined) return row;
  return { ...row, cerbos, cerbosRatio: more ? row.railgate / cerbos : cerbos / row.railgate };
}

/** Medians over the rounds. */
function compared(what: string, ours: Measured[], theirs: Measured[], cerbos: Measured[] = []): Row[] {
  for (const { failed } of [...ours, ...theirs, ...cerbos])
    if (failed > 0) throw new Error(`${failed} requests failed`);
  const median = (of: Measured[], figure: "requestsPerS" | "p50Ms" | "p99Ms") =>
    of.map((m) => m[figure]).sort((a, b) => a - b)[Math.floor(of.length / 2)]!;
  const figure = (what: string, unit: string, of: "requestsPerS" | "p50Ms" | "p99Ms", more: boolean) =>
    beside(
      row(what, unit, median(ours, of), median(theirs, of), more),
      cerbos.length > 0 ? median(cerbos, of) : undefined,
      more,
    );
  return [
    figure(`${what} at ${CONNECTIONS} connections (${ours[0]!.tool})`, "1/s", "requestsPerS", true),
    figure("latency p50", "ms", "p50Ms", false),
    figure("latency p99", "ms", "p99Ms", false),
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
    path: OPA_PATH,
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
  const times = (ratio: number | undefined) => (ratio === undefined ? "" : `${ratio.toFixed(2)}×`).padEnd(7);
  for (const { what, unit, railgate, opa: theirs, ratio, cerbos, cerbosRatio } of rows) {
    const figures = [railgate, theirs, cerbos].map((value) => figure(value).padStart(9)).join(" ");
    console.log(`${what.padEnd(46)} ${figures} ${unit.padEnd(6)} ${times(ratio)} ${times(cerbosRatio)}`.trimEnd());
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
      `${"".padEnd(46)} ${"railgate".padStart(9)} ${"opa".padStart(9)} ${"cerbos".padStart(9)}        ratios (above 1: railgate is better)`,
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
