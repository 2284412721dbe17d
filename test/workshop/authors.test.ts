// An author's way by the command line: a folder begun, tested, tried, checked, built; and what each command says of wrong input.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import test from "ava";
import { railgate, says, start } from "../cli/railgate.ts";

const cwd = mkdtempSync(join(tmpdir(), "railgate-authors-"));
const folder = join(cwd, "acme");
const RULE = "policy/railgate/extensions/acme/acme.rego";
const SETTINGS = ["--settings", "acme/settings.yaml"];
const json = async (...args: string[]) => {
  const { code, stdout, stderr } = await railgate([...args, "--json"], { cwd });
  return { code, said: JSON.parse(stdout) as any, stderr };
};
/** A copy of the folder with one file otherwise. */
function altered(name: string, file: string, change: (text: string) => string): string {
  cpSync(folder, join(cwd, name), { recursive: true });
  writeFileSync(join(cwd, name, file), change(readFileSync(join(folder, file), "utf8")));
  return name;
}

test.before(async (t) => {
  const { code, said } = await json("init", "acme");
  t.is(code, 0);
  t.true(said.files.includes(RULE));
});

test("what init makes passes its tests, all lines reached, by OPA and as WASM", async (t) => {
  const { code, said } = await json("test", "acme", "--coverage");
  t.is(code, 0, JSON.stringify(said));
  t.like(said, { ok: true, passed: 4, failed: 0, coverage: { percent: 100 } });
  t.deepEqual(
    said.coverage.files.map(({ file }: { file: string }) => file),
    [`acme/${RULE}`],
  );
  const broken = altered("broken", RULE, (text) => text.replace('!= "public"', '== "public"'));
  const failed = await json("test", broken);
  t.is(failed.code, 1);
  t.like(failed.said, { ok: false, passed: 1, failed: 3 });
  t.like(
    failed.said.tests.find(({ opa }: { opa: string }) => opa === "failed"),
    {
      file: "broken/policy/railgate/extensions/acme/acme_test.rego",
      wasm: "failed",
    },
  );
});

test("try says which rules fired, on what, and which nearly did", async (t) => {
  const { code, said } = await json("try", "acme/requests/refused.json", "--policy", "acme", ...SETTINGS);
  t.is(code, 1);
  t.is(said.decision.outcome, "refused");
  t.deepEqual(said.fired, [
    {
      rule: "ACME-01",
      code: "acme_team_missing",
      file: `acme/${RULE}`,
      line:
        readFileSync(join(folder, RULE), "utf8")
          .split("\n")
          .findIndex((line) => line.startsWith("refusals contains")) + 1,
      values: { "/workload/attributes": null, "/workload/classification": "internal" },
    },
  ]);
  // The team is one by the settings alone.
  t.is((await json("try", "acme/requests/admitted.json", "--policy", "acme")).code, 1);
});

test("try --watch says what nearly fired, and tries again after a change of request, settings and rules, until it is told to stop", async (t) => {
  altered("watched", "settings.yaml", (text) => text);
  const args = ["try", "watched/requests/admitted.json", "--policy", "watched", "--settings", "watched/settings.yaml"];
  const child = start([...args, "--watch", "--json"], { cwd });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const at = (file: string) => join(cwd, "watched", file);
  const change = (file: string, from: string, to: string) =>
    writeFileSync(at(file), readFileSync(at(file), "utf8").replaceAll(from, to));
  const { fired, nearly } = JSON.parse(await says(child, /"outcome":"accepted".*\n/)) as any;
  t.deepEqual(fired, []);
  const near = nearly.find(({ rule }: { rule: string }) => rule === "ACME-01");
  t.like(near, { code: "acme_team_missing", file: `watched/${RULE}` });
  t.regex(near.because, /^all holds but line \d+: not team_named\(lib\.workload\)$/);
  const refused = says(child, /"outcome":"refused"/);
  change("settings.yaml", "payments: true", "payments: false");
  await refused;
  const accepted = says(child, /"outcome":"accepted"/);
  change("requests/admitted.json", '"internal"', '"public"');
  await accepted;
  const wrong = says(child, /"code":"policy_invalid","message":"watched\/policy\S+acme\.rego:\d+: /);
  change(RULE, "rule: ACME-01", "rule:");
  await wrong;
  child.kill("SIGINT");
  t.is(await ended, 0);
});

test("check holds of what init makes, and hands back a request where a rule admits more", async (t) => {
  const held = await json("check", "acme", "--at-least", "railgate", "--runs", "150", ...SETTINGS);
  t.is(held.code, 0, JSON.stringify(held.said));
  t.like(held.said, { ok: true, properties: ["decides", "rail", "at_least"] });
  mkdirSync(join(cwd, "weak/policy/railgate/refusal/container"), { recursive: true });
  writeFileSync(
    join(cwd, "weak/policy/railgate/refusal/container/more.rego"),
    'package railgate.refusal.container\n\nruntime_hardened(container) if container.runtime == "runc"\n',
  );
  const args = ["check", "weak", "--at-least", "railgate", "--runs", "20000", "--seed", "7", "-o", "found.json"];
  const { code, said } = await json(...args, "--at", "2026-11-26T22:00:00Z");
  t.is(code, 1);
  t.like(said, { ok: false, seed: 7, counterexample: { file: "found.json", property: "at_least" } });
  t.regex(said.counterexample.message, /admits what the shipped law refuses by CTR-01/);
  const at = ["--at", said.at];
  t.is((await json("try", "found.json", "--policy", "weak", ...at)).code, 0);
  t.is((await json("try", "found.json", ...at)).said.fired[0].rule, "CTR-01");
});

test("a bundle is built, signed, verified, looked into and compared", async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(join(cwd, "key.pem"), privateKey.export({ type: "sec1", format: "pem" }));
  writeFileSync(join(cwd, "key.pub.pem"), publicKey.export({ type: "spki", format: "pem" }));
  const build = ["bundle", "build", "acme", "--sequence", "7", "--expires", "2030-01-01T00:00:00Z"];
  t.is((await json(...build, "-o", "a.tar.gz", "--signing-key", "key.pem")).code, 0);
  t.is((await json(...build, "-o", "b.tar.gz", "--revision", "r2")).code, 0);
  const verify = (file: string) => json("bundle", "verify", file, "--verification-key", "key.pub.pem");
  t.like((await verify("a.tar.gz")).said, { ok: true, sequence: 7 });
  t.is((await verify("b.tar.gz")).code, 1, "it is not signed");
  t.is((await json("bundle", "sign", "b.tar.gz", "--signing-key", "key.pem", "-o", "c.tar.gz")).code, 0);
  t.is((await verify("c.tar.gz")).code, 0);
  const { said } = await json("bundle", "inspect", "c.tar.gz");
  t.like(said, { revision: "r2", sequence: 7, expires: "2030-01-01T00:00:00Z", signature: { algorithm: "ES256" } });
  t.deepEqual(
    said.rules
      .find(({ rule }: { rule: string }) => rule === "ACME-01")
      .places.map((place: string) => place.split(":")[0]),
    ["railgate/extensions/acme/acme.rego"],
  );
  t.is((await json("bundle", "diff", "b.tar.gz", "c.tar.gz")).code, 0, "signatures aside");
  const { code, said: difference } = await json("bundle", "diff", "a.tar.gz", "b.tar.gz");
  t.is(code, 1);
  t.deepEqual(
    difference.values.map(({ pointer }: { pointer: string }) => pointer),
    ["/manifest/revision"],
  );
});

test("what is wrong with policies is told by file and line, and is exit 1", async (t) => {
  const wrong = altered("wrong", RULE, (text) =>
    text.replace('lib.workload.classification != "public"', "time.now_ns() > 0\n\tno_such(1)"),
  );
  for (const command of [
    ["bundle", "build", wrong],
    ["check", wrong],
    ["test", wrong],
    ["try", "acme/requests/refused.json", "--policy", wrong],
  ]) {
    const { code, said, stderr } = await json(...command);
    t.is(code, 1, command.join(" "));
    t.is(said.code, "policy_invalid");
    t.regex(
      said.message,
      /wrong\/policy\/railgate\/extensions\/acme\/acme\.rego:\d+: rego_type_error: undefined function/,
    );
    t.regex(said.message, /rego_type_error: undefined function time\.now_ns/, "no builtin of the host");
    t.notRegex(stderr, /\n\s+at /, "no stack trace");
  }
});

test("wrong use is exit 2, what is not there or no archive exit 3, in one line each", async (t) => {
  writeFileSync(join(cwd, "bad.yaml"), "rails: {vm: shard}\n");
  writeFileSync(join(cwd, "text"), "no archive");
  for (const [code, args, message] of [
    [2, ["init", "acme"], /acme is there already, and not an empty folder/],
    [2, ["try", "nowhere.json"], /there is no file nowhere\.json/],
    [2, ["try", "-", "--watch"], /--watch needs a file/],
    [
      2,
      ["try", "acme/requests/refused.json", "--settings", "bad.yaml"],
      /bad\.yaml: \/rails\/vm must be one of shared/,
    ],
    [2, ["check", "acme", "--at-least", "opa"], /Allowed choices are railgate/],
    [2, ["bundle", "build", "acme", "--expires", "soon"], /no RFC 3339 time/],
    [2, ["bundle", "build", "acme", "-e", "allow"], /no path of a rule/],
    [2, ["bundle", "verify", "text"], /--verification-key is needed/],
    [3, ["bundle", "build", "nowhere"], /there is no folder nowhere/],
    [3, ["bundle", "inspect", "nowhere"], /there is no file nowhere/],
    [3, ["bundle", "inspect", "text"], /it is not gzip/],
  ] as [number, string[], RegExp][]) {
    const ran = await railgate([...args, "--json"], { cwd });
    t.is(ran.code, code, `${args.join(" ")}\n${ran.stderr}`);
    t.regex((JSON.parse(ran.stdout) as { message: string }).message, message, args.join(" "));
    t.notRegex(ran.stderr, /\n\s+at /, "no stack trace");
  }
});
