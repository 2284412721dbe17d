// What docs/mesh.md and docs/lifecycle.md tell people to type is answered as they say, and their tables name what there is.
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import { LIFECYCLE_INVARIANTS, MESH_INVARIANTS } from "../../src/core/invariant.ts";
import { start } from "../http/support.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const page = (name: string) => readFileSync(join(ROOT, name), "utf8");
const run = promisify(execFile);

for (const name of ["docs/mesh.md", "docs/lifecycle.md"]) {
  test(`the commands of ${name}`, async (t) => {
    const served = await start();
    const blocks = [...page(name).matchAll(/```sh\n(.*?)```/gs)].map(([, text]) => text!);
    // Each ends in the status, and the code where refused, that it is answered with.
    const commands = blocks.flatMap((text) => [...text.matchAll(/(curl .*?) # (\d{3})(?: (\w+))?\n/gs)]);
    t.true(commands.length >= 5);
    for (const [, command, status, code] of commands) {
      const { stdout } = await run(
        "sh",
        [
          "-ec",
          command!.replace("http://127.0.0.1:8181", served.url).replace("curl -s", "curl -s -w '\\n%{http_code}'"),
        ],
        { cwd: ROOT },
      );
      const [body, got] = [stdout.slice(0, stdout.lastIndexOf("\n")), stdout.slice(stdout.lastIndexOf("\n") + 1)];
      t.is(got, status!, `${command}\n${stdout}`);
      t.is(JSON.parse(body).code, code, command);
    }
    await served.close();
  });

  test(`pages and headings that ${name} links to exist`, (t) => {
    for (const [, target, heading] of page(name).matchAll(/\]\(([^)#:]+)(?:#([^)]+))?\)/g)) {
      const file = join(ROOT, name, "..", target!);
      t.true(existsSync(file), target);
      if (heading === undefined) continue;
      const headings = [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
        text!
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N} -]/gu, "")
          .replaceAll(" ", "-"),
      );
      t.true(headings.includes(heading), `${target}#${heading}`);
    }
  });
}

test("every code of the law's commands is explained, and every invariant named", (t) => {
  const [mesh, lifecycle] = [page("docs/mesh.md"), page("docs/lifecycle.md")];
  const catalogue = Object.keys(JSON.parse(page("policy/railgate/catalogue/data.json")));
  for (const code of catalogue.filter((each) => each.startsWith("ERR_MESH_"))) t.true(mesh.includes(code), code);
  for (const code of [
    "workload_unknown",
    "lifecycle_transition_invalid",
    "admission_expired",
    "attestation_failed",
    "attestation_stale",
    "attestation_incomplete",
  ])
    t.true(lifecycle.includes(code), code);
  for (const id of MESH_INVARIANTS) t.true(mesh.includes(id), id);
  t.is(LIFECYCLE_INVARIANTS.length, 3);
});
