// `railgate policy`: a bundle's way from submission to the end, on a running node, and the way back to the one that comes with Railgate.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { RailgateNode } from "../../src/node/open.ts";
import { admissible, start } from "../http/support.ts";
import { lawBundle, makeSigner } from "../policies/bundles.ts";
import { until } from "../until.ts";
import { emptyDir, railgate } from "./railgate.ts";

const signer = await makeSigner();

test("list, submit, shadow, differences, activate and deprecate", async (t) => {
  const served = await start({}, {}, { keys: { [signer.keyId]: { algorithm: "ES256", key: signer.pem } } });
  t.teardown(() => served.close());
  const cwd = emptyDir();
  writeFileSync(join(cwd, "own.tar.gz"), await lawBundle(signer, { revision: "own", sequence: 1 }));
  writeFileSync(join(cwd, "unsigned.tar.gz"), await lawBundle(null, { revision: "unsigned" }));
  const policy = (...args: string[]) => railgate(["policy", ...args], { cwd, env: { RAILGATE_URL: served.url } });

  const unsigned = await policy("submit", "unsigned.tar.gz");
  t.is(unsigned.code, 1);
  t.regex(unsigned.stdout + unsigned.stderr, /signature/);
  t.is((await policy("submit", "nowhere.tar.gz")).code, 3);
  const { digest } = JSON.parse((await policy("submit", "own.tar.gz", "--json")).stdout);
  t.is((await policy("activate", "sha256:zz")).code, 2);

  const begins = digest.slice(0, 15);
  t.is((await policy("shadow", begins)).stdout, `${digest} decides beside the active policy.\n`);
  await served.call("POST", "/v1/admissions", { body: admissible("w") });
  await until(async () => (await served.call("GET", `/v1/policies/${digest}/differences`)).json.decided === 1);
  t.regex((await policy("differences", begins)).stdout, /^1 decisions: 0 newly refused/);

  const activated = await policy("activate", begins);
  t.is(activated.code, 0, activated.stderr);
  t.regex(activated.stdout, new RegExp(`^${digest} decides from now on, on record as .+\\nOf 1 recent admissions`));
  const [heading, ...listed] = (await policy("list")).stdout.trim().split("\n").sort();
  t.regex(heading!, /^POLICY +REVISION/);
  const active = listed.find((line) => / own +active .+ sequence 1$/.test(line));
  t.true(active?.startsWith(begins), listed.join("\n"));

  // What decides stays; what decided before decides no more.
  t.is((await policy("deprecate", begins)).code, 1);
  const shipped = listed.find((line) => line !== active)!.split(" ")[0]!;
  t.regex((await policy("deprecate", shipped)).stdout, /^sha256:\w{64} decides no more\.\n$/);
  t.is((await policy("activate", shipped)).code, 1);
});

test("deprecating what settings name no more is the way back to the bundle that comes with Railgate", async (t) => {
  const cwd = emptyDir();
  const bytes = await lawBundle(signer, { revision: "own", sequence: 1 });
  const named = { name: "law", keys: signer.keys, bytes: () => bytes };
  const node = await RailgateNode.open({ dataDir: join(cwd, "data"), bundles: [named] });
  const { digest } = node.policy!;
  await node.close();
  writeFileSync(join(cwd, "request.json"), JSON.stringify(admissible("w")));
  const refused = await railgate(["decide", "request.json", "--json"], { cwd });
  t.is(refused.code, 1);
  t.is(JSON.parse(refused.stdout).decision.refusals[0].rule, "POL-01");
  t.is((await railgate(["policy", "deprecate", digest], { cwd })).code, 0);
  const admitted = await railgate(["decide", "request.json"], { cwd });
  t.is(admitted.code, 0, admitted.stdout);
});
