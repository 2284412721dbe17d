// docs/api.md names every code, and its arithmetic is right. Its examples are typed by test/docs/pages.test.ts.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import test from "ava";
import { PROBLEMS } from "../../src/http/call/problems.ts";
import { start } from "./support.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const page = readFileSync(`${ROOT}docs/api.md`, "utf8");

test("an event's pointer is its artifact's digest, as the page computes it", async (t) => {
  const script = [...page.matchAll(/```sh\n(.*?)```/gs)].find(([, text]) => text!.includes("sha256sum"))![1]!;
  const served = await start();
  await served.call("POST", "/v1/admissions", {
    body: readFileSync(`${ROOT}examples/requests/container-low-risk.json`),
  });
  const { stdout } = await promisify(execFile)("sh", ["-ec", script.replaceAll("http://127.0.0.1:8181", served.url)], {
    cwd: ROOT,
  });
  const [pointer, computed] = stdout.trim().split("\n");
  t.is(pointer, computed);
  await served.close();
});

test("every code is on the page", (t) => {
  for (const [code, { status }] of Object.entries(PROBLEMS))
    t.regex(page, new RegExp(`^\\| ${status} \\|.*\`${code}\``, "m"), code);
});
