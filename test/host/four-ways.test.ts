// One corpus, four ways: every example request is decided alike by HTTP, command line, library, and OPA on the same input.
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { openRailgate } from "../../src/library/index.ts";
import type { Decision } from "../../src/core/schema/decision.ts";
import { runOpa } from "../../src/workshop/opa.ts";
import { railgate } from "../cli/railgate.ts";
import { emptyDir, start } from "../http/support.ts";

const POLICY = new URL("../../policy", import.meta.url).pathname;
const REQUESTS = new URL("../../examples/requests/", import.meta.url);
const now = () => new Date().toISOString();

/** The examples as they are, and a tee whose attestation is fresh, which no file can keep. */
const cases: [name: string, request: { [member: string]: any }][] = readdirSync(REQUESTS)
  .filter((name) => name.endsWith(".json"))
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, REQUESTS), "utf8"))]);
const [, stale] = cases.find(([name]) => name.startsWith("tee-"))!;
cases.push(["tee, freshly attested", { ...stale, attestation: { ...stale["attestation"], measured_at: now() } }]);

/** Without the words of the catalogue, and without the time by which to attest again, which moves with the clock. */
function bare(decision: Decision): unknown {
  return {
    ...decision,
    refusals: decision.refusals.map(({ title: _t, message: _m, solution: _s, ...refusal }) => refusal),
    obligations: decision.obligations.map(({ obligation }) => obligation),
  };
}

test("every example is decided alike by all four", async (t) => {
  const served = await start();
  const library = await openRailgate({ dataDir: emptyDir() });
  // Each keeps its own state: examples share workload ids, and a live workload's least level never falls.
  const cwd = emptyDir();
  const accepted: string[] = [];
  for (const [name, request] of cases) {
    const { json: answer } = await served.call("POST", "/v1/admissions", { body: request });
    const byHttp = bare(answer.decision);
    if (answer.decision.outcome === "accepted") accepted.push(name);

    t.deepEqual(bare((await library.admit(request)).decision), byHttp, `${name}: library`);

    const cli = await railgate(["decide", "-", "--json"], { cwd, input: JSON.stringify(request) });
    t.is(cli.code, answer.decision.outcome === "accepted" ? 0 : 1, cli.stderr);
    t.deepEqual(bare(JSON.parse(cli.stdout).decision), byHttp, `${name}: command line`);

    const { json: artifact } = await served.call("GET", `/v1/events/${answer.event.id}/artifact`);
    const run = await runOpa(
      ["eval", "--bundle", POLICY, "--stdin-input", "--format", "raw", "data.railgate.admission.decision"],
      { input: JSON.stringify(artifact.input) },
    );
    t.deepEqual(JSON.parse(run.stdout), artifact.decision, `${name}: opa eval`);
    t.deepEqual(bare(artifact.decision), byHttp, `${name}: artifact`);
  }
  t.true(accepted.includes("tee, freshly attested") && accepted.length > 3 && accepted.length < cases.length);
  await library.close();
  await served.close();
});
