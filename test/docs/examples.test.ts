// The programs in examples/ do what README and docs/embed.md say of them. Commands and snippets are typed by pages.test.ts.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import { ensureBuilt } from "../../scripts/build.js";

const ROOT = new URL("../../", import.meta.url).pathname;
const run = promisify(execFile);

function tempDir(t: { teardown: (work: () => void) => void }): string {
  const dir = mkdtempSync(join(tmpdir(), "railgate-readme-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test("the examples run against the built package", async (t) => {
  t.true(await ensureBuilt());
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
