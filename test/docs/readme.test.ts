// What the README and docs/embed.md tell people to type does what they say.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import { start } from "../http/support.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const page = (name: string) => readFileSync(join(ROOT, name), "utf8");
const run = promisify(execFile);

function tempDir(t: { teardown: (work: () => void) => void }): string {
  const dir = mkdtempSync(join(tmpdir(), "railgate-readme-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test("the README's request is accepted, with a receipt", async (t) => {
  const [, script] = /```sh\n(curl .*?)```/s.exec(page("README.md"))!;
  const served = await start();
  const { stdout } = await run("sh", ["-ec", script!.replace("http://127.0.0.1:8181", served.url)], { cwd: ROOT });
  const { decision, event, receipt } = JSON.parse(stdout);
  t.is(decision.outcome, "accepted");
  t.is(event.event_type, "workload.admit");
  t.regex(receipt, /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
  await served.close();
});

test("the README's refused request is explained, and its evidence exported, verified and replayed", async (t) => {
  const [command] = /^npm run -s railgate -- decide .*$/m.exec(page("README.md"))!;
  const env = { ...process.env, RAILGATE_DATA_DIR: tempDir(t) };
  const error = (await t.throwsAsync(run("sh", ["-ec", command], { cwd: ROOT, env }))) as Error & {
    code: unknown;
    stdout: string;
  };
  t.is(error.code, 1);
  t.regex(error.stdout, /refused/i);
  t.regex(error.stdout, /\/workload\//);

  const [, audit] = /```sh\n(npm run -s railgate -- export .*?)```/s.exec(page("README.md"))!;
  const { stdout } = await run("sh", ["-ec", audit!.replaceAll("acme.tar.gz", join(tempDir(t), "acme.tar.gz"))], {
    cwd: ROOT,
    env,
  });
  t.regex(stdout, /^Verified\.$/m);
  t.regex(stdout, /^Every decision follows from its policy and input\.$/m);
});

test("the examples run against the built package", async (t) => {
  await run("npm", ["run", "-s", "build"], { cwd: ROOT });
  const env = { ...process.env, RAILGATE_DATA_DIR: tempDir(t) };
  const node = (file: string) => run(process.execPath, [file], { cwd: ROOT, env });
  t.regex(
    (await node("examples/embed.ts")).stdout,
    /: accepted, least rail level \w+\nevidence: .* #0, receipt of \d+ bytes/,
  );
  t.regex(
    (await node("examples/mesh.ts")).stdout,
    /: shared → sandbox_isolated, evidence .*\nenclave: ERR_MESH_ELEVATION_DENIED.*\nfast: ERR_MESH_DEMOTION_FORBIDDEN/,
  );
  t.regex((await node("examples/evaluate.ts")).stdout, /: refused\n(?: {2}[A-Z]+-\d\d at \S+\n)+/);
});

test("pages that are linked exist", (t) => {
  for (const name of ["README.md", "docs/embed.md"]) {
    const dir = join(ROOT, name, "..");
    for (const [, target] of page(name).matchAll(/\]\(([^)#:]+)\)/g))
      t.true(existsSync(join(dir, target!)), `${name} links to ${target}`);
  }
});
