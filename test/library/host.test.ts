// The library reads a host's objects as strictly as HTTP reads a body, and is done with them before it decides.
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { openRailgate } from "../../src/library/index.ts";
import { emptyDir } from "../http/support.ts";

const example = () =>
  JSON.parse(readFileSync(new URL("../../examples/requests/container-low-risk.json", import.meta.url), "utf8"));

test("what JSON cannot carry is no request, and leaves no event", async (t) => {
  await using gate = await openRailgate({ dataDir: emptyDir() });
  const circular = example();
  circular.workload.self = circular;
  const surrogate = example();
  surrogate.workload.envelope.container.seccomp = "\ud800";
  for (const request of [circular, surrogate, { workload: 1n }, undefined, () => {}]) {
    await t.throwsAsync(gate.admit(request), { code: "request_malformed" });
    await t.throwsAsync(gate.dryRun(request), { code: "request_malformed" });
  }
  await t.throwsAsync(gate.workload("w").attest({ report_ref: "\udfff" }), { code: "request_malformed" });
  t.is((await gate.admit(example())).event.sequence, 0);
});

test("members that are undefined are absent, and a request that changes after the call changes nothing", async (t) => {
  await using gate = await openRailgate({ dataDir: emptyDir() });
  const request = { ...example(), authority: undefined };
  const deciding = gate.admit(request);
  request.workload.envelope.container.privileged = true;
  t.is((await deciding).decision.outcome, "accepted");
});

const ISSUER = {
  issuer: "a",
  jwks: [{ kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }],
};

test("options are checked as settings are: what could never be exported is never signed", async (t) => {
  for (const [option, value] of [
    ["nodeId", "node 1"],
    ["nodeId", ""],
    ["evidenceProfileId", "none"],
    ["evaluationMsMax", 0],
    ["queueMax", 1.5],
    ["dataDir", ""],
    ["logOrigin", "my log"],
    ["queueMax", 2_000_000],
    ["checkpointDir", 7],
    ["afterRestore", " "],
    ["artifacts.key_custody", { key_custody: "file" }],
    [
      "trust.authorities.0.jwks",
      { authorities: [{ issuer: "a", root: true, jwks: [{ kty: "oct", k: "AA" }] }], attesters: [] },
    ],
    ["trust.attesters.1.issuer", { authorities: [], attesters: [ISSUER, ISSUER] }],
    ["trust.authorities.0.roots", { authorities: [{ issuer: "a", jwks: [], root: true, roots: true }], attesters: [] }],
    ["bundle", "bundle.tar.gz"],
    ["eventKey", { name: "k" }],
    ["observe", { committed: 1 }],
    ["now", 5],
    ["nodeID", "node-1"],
  ] as const) {
    const dataDir = emptyDir();
    const error = await t.throwsAsync(openRailgate({ dataDir, [option.split(".", 1)[0]!]: value }), {
      code: "config_invalid",
    });
    t.regex(error!.message, new RegExp(`^${option}: `));
    t.deepEqual(readdirSync(dataDir), [], "nothing was made");
  }
});

test("every error that is documented is exported by its class", async (t) => {
  const exported = (await import("../../src/embed/index.ts")) as Record<string, unknown>;
  const files = ["embed/index.ts", "library/railgate.ts", "library/local.ts", "library/operations.ts"];
  const text = files.map((file) => readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8")).join("\n");
  const documented = [...text.matchAll(/(?:@throws |^\/\/ - )((?:\w+Error(?:, )?)+)/gm)].flatMap(([, names]) =>
    names!.split(", ").filter((name) => name !== ""),
  );
  t.true(documented.length > 15);
  for (const name of documented) t.is(typeof exported[name], "function", name);
});
