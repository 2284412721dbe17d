// `railgate audit` and `railgate decide` on Kubernetes manifests: where it lies, what is wrong, and the exit code.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import test from "ava";
import { Output } from "../../src/cli/io/output.ts";
import { emptyDir, railgate } from "./railgate.ts";

const MANIFESTS = `apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { pod-security.kubernetes.io/enforce: baseline, railgate.dev/law: "off" } }
---
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: { name: web, namespace: shop }
    spec:
      template:
        spec:
          containers:
            - name: app
              image: x
              securityContext:
                privileged: true
  - { apiVersion: v1, kind: Service, metadata: { name: web } }
`;
const POD =
  "apiVersion: v1\nkind: Pod\nmetadata: { name: web, namespace: shop }\nspec: { containers: [{ name: app, image: x }] }\n";

function folder(files: { [name: string]: string }): string {
  const dir = emptyDir();
  mkdirSync(join(dir, "m/sub"), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, "m", name), text);
  return dir;
}

test("a folder is judged by the namespaces in it, each finding by file and line", async (t) => {
  const cwd = folder({ "a.yaml": MANIFESTS, "sub/b.json": "{}", "readme.md": "none" });
  const { code, stdout, stderr } = await railgate(["audit", "--json", "m"], { cwd });
  t.is(code, 1, stderr);
  const { items, ...counts } = JSON.parse(stdout);
  t.deepEqual(counts, { objects: 1, refused: 1, findings: 1 });
  t.like(items[0], { file: "m/a.yaml", line: 8, object: "Deployment shop/web", allowed: false });
  t.like(items[0].findings[0], {
    rule: "PSS-privileged",
    modes: ["deny", "warn"],
    field: "spec.template.spec.containers[0].securityContext.privileged",
    line: 18,
  });
});

test("a person gets a table and the counts; what is only warned of fails by default, and need not", async (t) => {
  const cwd = folder({ "pod.yaml": POD });
  const table = await railgate(["audit", "m/pod.yaml"], { cwd });
  t.is(table.code, 1);
  t.regex(table.stdout, /^WHERE +OBJECT +MODES +RULE +FIELD/);
  t.regex(table.stdout, /m\/pod\.yaml:4 +Pod shop\/web +warn +CTR-01 +spec\.runtimeClassName/);
  t.regex(table.stdout, /1 objects judged, 0 would be refused, \d+ findings\.\n$/);
  t.is((await railgate(["audit", "--fail-on", "deny", "-"], { cwd, input: POD })).code, 0);
  const strict = ["audit", "--level", "restricted", "--law", "off", "m", "--fail-on"];
  t.is((await railgate([...strict, "deny"], { cwd })).code, 1);
  t.is((await railgate([...strict, "never"], { cwd })).code, 0);
});

test("SARIF for code hosts, and what nobody can read is an error in it", async (t) => {
  const cwd = folder({ "pod.yaml": POD, "t.yaml": "a: {{ b }}\n", "bad.yaml": `${POD.replace("app", "[]")}` });
  const { code, stdout } = await railgate(["audit", "--sarif", "--law", "off", "m"], { cwd });
  t.is(code, 1);
  const { version, runs } = JSON.parse(stdout);
  t.is(version, "2.1.0");
  const [{ tool, results }] = runs;
  t.deepEqual(
    tool.driver.rules.map(({ id }: { id: string }) => id),
    ["MANIFEST"],
  );
  t.deepEqual(
    results.map(({ level, ruleId, locations: [{ physicalLocation }] }: any) => [
      level,
      ruleId,
      physicalLocation.artifactLocation.uri,
    ]),
    [
      ["error", "MANIFEST", "m/bad.yaml"],
      ["error", "MANIFEST", "m/t.yaml"],
    ],
  );
});

test("many files are judged on several threads, and nothing else is found", async (t) => {
  const files = { "c.yaml": "a: [", "sub/d.json": "{}" };
  const found = async (padding: string) =>
    railgate(["audit", "--json", "m"], {
      cwd: folder({ ...files, "a.yaml": MANIFESTS + padding, "b.yaml": POD + padding }),
    });
  const [few, many] = [await found(""), await found(`\n# ${"-".repeat(600 * 1024)}\n`)];
  t.deepEqual([many.code, many.stdout], [few.code, few.stdout], many.stderr);
  t.is(JSON.parse(few.stdout).objects, 3);
});

test("findings are printed as they come, and none is lost or told twice", async (t) => {
  const cwd = folder({
    "pods.yaml": Array.from({ length: 150 }, (_, i) => POD.replace("web", `p${i}`)).join("\n---\n"),
  });
  const { stdout } = await railgate(["audit", "m"], { cwd });
  const [, findings] = /^150 objects judged, \d+ would be refused, (\d+) findings\.$/m.exec(stdout)!;
  const rows = stdout.split("\n").filter((line) => line.startsWith("m/pods.yaml:"));
  t.true(rows.length > 1000);
  t.is(rows.length, Number(findings));
  t.is(new Set(rows).size, rows.length);
  t.is(stdout.match(/^WHERE /gm)?.length, 1);
});

test("decide takes a manifest as an API server would have it reviewed", async (t) => {
  const cwd = folder({ "pod.yaml": POD });
  const dry = await railgate(["decide", "--dry-run", "--json", "m/pod.yaml"], { cwd });
  t.is(dry.code, 0, dry.stderr);
  t.true(JSON.parse(dry.stdout).warnings.length > 5);
  const real = await railgate(["decide", "m/pod.yaml"], { cwd });
  t.is(real.code, 0, real.stderr);
  t.regex(real.stdout, /^Allowed\nWarning {2}CTR-01 /);
  t.regex(real.stdout, /Receipt {2}event [0-9a-f-]{36}/);
  writeFileSync(
    join(cwd, "ns.yaml"),
    "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { railgate.dev/law: deny } }\n",
  );
  t.is((await railgate(["decide", "ns.yaml"], { cwd })).code, 0);
  const refused = await railgate(["decide", "m/pod.yaml"], { cwd });
  t.is(refused.code, 1);
  t.regex(refused.stdout, /^Refused\nRailgate refuses it \(event /);
});

test("a table has as many findings as there are, more words than a call takes arguments", (t) => {
  let written = 0;
  const stdout = new Writable({ write: (_chunk, _encoding, done) => (written++, done()) });
  const out = new Output({ json: false, colour: false }, stdout as unknown as typeof process.stdout);
  out.table(
    ["WHERE", "WHAT"],
    Array.from({ length: 1000 }, (_, i) => [`m/${i}.yaml`, "w ".repeat(1000)]),
  );
  t.is(written, 1001);
});
