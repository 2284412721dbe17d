// The command line as `npm ci` builds it: the same as from source, current, and for users who have no home.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import { ensureBin, inAscii } from "../../scripts/build.js";
import { emptyDir } from "../cli/railgate.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const BIN = join(ROOT, "bin/cli/main.js");
const run = promisify(execFile);
const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
const PATH = process.env["PATH"]!;

test.before(async (t) => {
  t.true(await ensureBin());
});

test("the built command decides and records, threads and default bundle included", async (t) => {
  const cwd = emptyDir();
  const env = { PATH, RAILGATE_DATA_DIR: join(cwd, "data") };
  const railgate = (...args: string[]) => run(process.execPath, [BIN, ...args], { cwd, env });
  const { stdout } = await railgate("decide", "--json", join(ROOT, "examples/requests/container-low-risk.json"));
  t.is(JSON.parse(stdout).decision.outcome, "accepted");
  await railgate("export", "--tenant", "acme", "--out", "acme.tar.gz");
  t.regex((await railgate("verify", "acme.tar.gz")).stdout, /^Verified\.$/m);
  t.regex((await railgate("replay", "acme.tar.gz")).stdout, /^Every decision follows from its policy and input\.$/m);
});

test("a source edited since is built in before it runs", async (t) => {
  const stamp = join(ROOT, "bin/.built-from");
  const before = readFileSync(stamp, "utf8");
  const file = join(ROOT, "src/cli/main.ts");
  utimesSync(file, new Date(), new Date());
  const { stdout } = await run("npm", ["run", "-s", "railgate", "--", "--version"], { cwd: ROOT });
  t.is(stdout.trim(), version);
  t.not(readFileSync(stamp, "utf8"), before);
});

test("a user without $HOME or an entry in the user database has every command", async (t) => {
  const cwd = emptyDir();
  const homeless = join(cwd, "homeless.mjs");
  writeFileSync(
    homeless,
    `import os from "node:os"; import { syncBuiltinESMExports } from "node:module";
    os.homedir = os.userInfo = () => { throw new Error("ENOENT: no such user"); }; syncBuiltinESMExports();`,
  );
  for (const main of [BIN, join(ROOT, "src/cli/main.ts")]) {
    const railgate = (env: object, ...args: string[]) =>
      run(process.execPath, ["--import", homeless, main, ...args], { cwd, env: { PATH, ...env } });
    t.is((await railgate({}, "--version")).stdout.trim(), version);
    t.is((await railgate({ HOME: "/nonexistent" }, "--version")).stdout.trim(), version);
    const request = join(ROOT, "examples/requests/container-low-risk.json");
    t.regex((await railgate({}, "decide", request)).stdout, /^Admitted/);
  }
  t.false(existsSync("/nonexistent"));
});

test("every module that runs as a thread of its own is built as one", (t) => {
  const src = join(ROOT, "src");
  const threads = (readdirSync(src, { recursive: true }) as string[]).filter(
    (file) =>
      file.endsWith(".ts") &&
      file !== "threads/threads.ts" &&
      /\b(?:parentPort|answerRequests)\b/.test(readFileSync(join(src, file), "utf8")),
  );
  t.true(threads.length >= 3);
  for (const file of threads) t.true(existsSync(join(ROOT, "bin", file.replace(/ts$/, "js"))), file);
});

test("a built module is ASCII, but for comments, or the build ends with the place where it is not", (t) => {
  const at = join(ROOT, "bin/module.js");
  t.is(inAscii(at, "/**\n * 1 ≤ n\n */\n// 1 ≤ n\nn;\n"), "/**\n * 1 ? n\n */\n// 1 ? n\nn;\n");
  for (const code of ["/≤/u.test(n);", "String.raw`≤`;"])
    t.throws(() => inAscii(at, `// 1 ≤ n\n  ${code}\n`), { message: /^bin\/module\.js:2: not ASCII.*≤/ });
});

test("every package that is part of the built command has its licence beside it", (t) => {
  const notices = readFileSync(join(ROOT, "bin/THIRD-PARTY.txt"), "utf8");
  for (const name of ["express", "jose", "pino", "commander", "yaml"])
    t.regex(notices, new RegExp(`^${name} \\d`, "m"));
});
