// A law that accepts everything, signed and active: the host refuses what would break an invariant, and puts that on record.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { exportJWK, generateKeyPair } from "jose";
import { buildBundleFiles } from "../../src/workshop/build.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import type { BundleSource } from "../../src/node/open.ts";
import { start, verifiedEvents } from "../http/support.ts";
import { railgate } from "../cli/railgate.ts";
import { differingStates, foldHistory } from "./history.ts";

/** The law with texts replaced in files of it, built and signed. */
async function changedBundle(changes: readonly [file: string, from: RegExp, to: string][]): Promise<BundleSource> {
  const directory = mkdtempSync(join(tmpdir(), "railgate-lawless-"));
  try {
    cpSync(new URL("../../policy/", import.meta.url).pathname, directory, {
      recursive: true,
      filter: (path) => !path.endsWith("_test.rego"),
    });
    for (const [file, from, to] of changes) {
      const path = join(directory, "railgate", file);
      const text = readFileSync(path, "utf8");
      if (!from.test(text)) throw new Error(`${file} has no ${from}`);
      writeFileSync(path, text.replace(from, to));
    }
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const signed = await signBundleFiles(await buildBundleFiles(directory), {
      privateKey,
      algorithm: "ES256",
      keyId: "k",
    });
    const bytes = writeBundleFiles(signed);
    return {
      bytes: () => bytes,
      keys: { keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] } as BundleSource["keys"],
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const ACCEPTING = { place: "MESH_001", elevate: "MESH_002", remove: "MESH_005", reload: "MESH_006" };

const lawlessBundle = () =>
  changedBundle(
    Object.entries(ACCEPTING).map(([command, event]) => [
      "mesh/mesh.rego",
      new RegExp(`:= ${command}_decision\\(request, facts\\) if`),
      `:= accepted("${event}") if`,
    ]),
  );

test("POL-03: a refusal whose params cannot be put on record as they are is refused in the law's place, evidenced", async (t) => {
  const bundle = await changedBundle([
    ["refusal/container/container.rego", /params := \{"runtime": .*\}/, 'params := {"runtime": 9007199254740993}'],
  ]);
  const served = await start({}, { bundle });
  t.teardown(() => served.close());
  const request = JSON.parse(
    readFileSync(new URL("../../examples/requests/container-low-risk.json", import.meta.url), "utf8"),
  );
  t.is((await served.call("POST", "/v1/admissions", { body: request })).json.decision.outcome, "accepted");
  request.workload.envelope.container.runtime = "runc";
  const { status, json } = await served.call("POST", "/v1/admissions", { body: request });
  t.is(status, 200);
  t.deepEqual(
    json.decision.refusals.map(({ rule, code }: { rule: string; code: string }) => [rule, code]),
    [["POL-03", "policy_error"]],
  );
  t.is(json.event.event_type, "workload.refuse");
  t.true(
    served.logs.some(({ problem }) =>
      /\/params\/runtime in the result is 9007199254740993, beyond/.test(problem ?? ""),
    ),
  );
  // Whoever tries it without recording is told what the record would say, over HTTP and on the command line.
  const cause = /railgate\/admission\/decision: .*\/params\/runtime in the result is 9007199254740993, beyond/;
  t.regex((await served.call("POST", "/v1/admissions?dry_run=true", { body: request })).json.problem, cause);
  const asked = ["decide", "--dry-run", "--json", "--url", `http://127.0.0.1:${served.port}`, "-"];
  const { code, stdout, stderr } = await railgate(asked, { input: JSON.stringify(request) });
  t.is(code, 1);
  t.regex(stderr, new RegExp(`^railgate: the policy could not decide: ${cause.source}`));
  t.regex(JSON.parse(stdout).problem, cause);
});

test("INV-MESH-*: where law and host disagree the command is refused, evidenced, and changes nothing", async (t) => {
  const served = await start({}, { bundle: await lawlessBundle() });
  t.teardown(() => served.close());
  const send = (method: string, path: string, body?: object) =>
    served.call(method, `/v1/meshes/m${path}`, body && { body });
  const policy = {
    elevation_allowed: false,
    max_target_level: "shared",
    preserve_latency_budget: true,
    latency_budget_us: 10,
  };
  const place = (workload_id: string, rail_id: string) => send("POST", "/placements", { workload_id, rail_id, policy });
  const elevate = (id: string, target_rail_id: string) =>
    send("POST", `/placements/${id}/elevation`, { target_rail_id });
  const rails = [
    { rail_id: "low", level: "shared", latency_overhead_us: 0, capacity: 1 },
    { rail_id: "mid", level: "sandbox_isolated", latency_overhead_us: 10, capacity: 2 },
    { rail_id: "slow", level: "hardware_isolated", latency_overhead_us: 11, capacity: 1 },
  ];
  t.is((await send("PUT", "/topology", { rails })).status, 201);
  t.is((await place("a", "low")).status, 201);
  t.is((await elevate("a", "mid")).status, 200);
  t.is((await place("b", "low")).status, 201);
  const broken = [
    () => place("c", "low"), // over capacity
    () => place("c", "slow"), // over budget
    () => place("c", "nowhere"),
    () => place("a", "slow"), // placed already
    () => elevate("a", "low"), // a demotion
    () => elevate("a", "slow"), // over budget
    () => elevate("nobody", "mid"),
    () => send("DELETE", "/placements/nobody"),
    () => send("PUT", "/topology", { rails: [] }),
    () => send("PUT", "/topology", { rails: rails.slice(0, 1) }), // drops an occupied rail
    () => send("PUT", "/topology", { rails: rails.map((rail) => ({ ...rail, latency_overhead_us: 99 })) }),
  ];
  const before = (await send("GET", "")).text;
  for (const [i, sending] of broken.entries()) {
    const { status, json } = await sending();
    t.is(status, 409, `${i}`);
    t.like(json, {
      code: "policy_error",
      mesh_event: null,
      event: { outcome: "refused", refusal_reason_code: "policy_error" },
    });
    t.is((await send("GET", "")).text, before, `${i}`);
  }
  t.is(served.logs.filter(({ problem }) => /^INV-MESH-/.test(problem ?? "")).length, broken.length);
  await send("DELETE", "/placements/a");
  t.is((await place("a", "low")).json.code, "policy_error", "a removal and return");
  await served.close();
  foldHistory(await verifiedEvents(served.dir), "m");
  t.deepEqual(await differingStates(served.dir), []);
});
