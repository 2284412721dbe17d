// The examples of docs/api.md do what the page says they do.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import test from "ava";
import { PROBLEMS } from "../../src/http/call/problems.ts";
import { start } from "./support.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const page = readFileSync(`${ROOT}docs/api.md`, "utf8");
const examples = [...page.matchAll(/```sh\n(.*?)```\n(?:\n```json\n(.*?)```)?/gs)].map(([, script, answer]) => ({
  script: script!,
  answer,
}));

/** Whether the answer has all that the page shows of it; `…` stands for anything. */
function shows(shown: unknown, answer: unknown): boolean {
  if (shown === "…") return answer !== undefined;
  if (typeof shown !== "object" || shown === null) return shown === answer;
  if (typeof answer !== "object" || answer === null) return false;
  if (Array.isArray(shown) && shown.length !== (answer as unknown[]).length) return false;
  return Object.entries(shown).every(([name, value]) => shows(value, (answer as Record<string, unknown>)[name]));
}

test("every example runs, and answers as shown", async (t) => {
  const served = await start();
  t.true(examples.length > 8);
  const env = { ...process.env, PATH: `${ROOT}node_modules/.bin:${process.env["PATH"]}` };
  for (const { script, answer } of examples) {
    const { stdout } = await promisify(execFile)(
      "sh",
      ["-ec", script.replaceAll("http://127.0.0.1:8181", served.url)],
      { cwd: ROOT, env },
    );
    t.not(stdout, "", script);
    if (answer !== undefined) t.true(shows(JSON.parse(answer), JSON.parse(stdout)), `${script}\n${stdout}`);
  }
  await served.close();
});

test("an event's pointer is its artifact's digest, as the page computes it", async (t) => {
  const script = examples.find((each) => each.script.includes("sha256sum"))!.script;
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
