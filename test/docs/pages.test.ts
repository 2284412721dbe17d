// What README and docs tell people to type does what they say, in order, in a clean tree: every page, on the oldest Node there is, and the README on both.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { parse } from "yaml";
import { checkSettings, formatPath } from "../../src/core/settings.ts";
import { ConfigFile } from "../../src/core/schema/config.ts";
import { ensureBuilt } from "../../scripts/build.js";
import { start } from "../http/support.ts";
import {
  blocksOf,
  checkout,
  CURRENT,
  emptyFolder,
  hasCommands,
  IN_CHECKOUT,
  offlineNpm,
  OLDEST,
  pageText,
  PAGES,
  ROOT,
  scriptOf,
  shows,
  typeIn,
  type Block,
} from "./pages.ts";
import { freePort } from "../port.ts";

const run = promisify(execFile);
const HOME = process.env["HOME"] ?? "";
process.setMaxListeners(0); // A folder that each node leaves is removed as the process ends.
const BASE = "127.0.0.1:8181";
let tarball = "";

test.before(async () => {
  if (!(await ensureBuilt())) throw new Error("the package is not built, and what builds it is not installed");
  // Beside the folders that pages are typed in: `npm install ../railgate-….tgz`.
  const beside = join(emptyFolder(), "..");
  const pack = ["pack", "--ignore-scripts", "--silent", "--pack-destination", beside];
  const { stdout } = await run("npm", pack, { cwd: ROOT });
  tarball = join(beside, stdout.trim());
});

const commandsOf = (page: string): Block[] => blocksOf(pageText(page)).filter(({ language }) => language === "sh");

/** Types a page where its commands belong: in an empty folder where it installs the package, else in a checkout beside a running node. */
async function typed(t: ExecutionContext, page: string, path: string): Promise<void> {
  const blocks = commandsOf(page);
  const installs = blocks.some(({ text }) => /^npm install \S*railgate/m.test(text));
  const cwd = installs ? emptyFolder() : await checkout();
  const served = await start({ node_id: "node-1" });
  const env: Record<string, string> = {
    HOME,
    // Nothing runs there a second time, and what was compiled for it need not stay.
    NODE_COMPILE_CACHE: join(served.dir, "compiled"),
    ...(installs
      ? { PATH: `${offlineNpm(tarball)}:${CURRENT}` }
      : { PATH: path, RAILGATE_DATA_DIR: join(served.dir, "data") }),
  };
  try {
    const base = `127.0.0.1:${installs ? await freePort() : served.port}`;
    if (installs) env["RAILGATE_LISTEN"] = base;
    const { code, stdout, stderr } = await typeIn(
      (installs ? "" : IN_CHECKOUT) + scriptOf(blocks).replaceAll(BASE, base),
      cwd,
      env,
    );
    const last = [...stderr.keys()].at(-1) ?? 0;
    t.is(code, 0, `${page}:${last}\n${stdout.get(last)?.slice(-1000)}\n${stderr.get(last)?.slice(-1000)}`);
    for (const { line, answer } of blocks) {
      if (answer === undefined) continue;
      const said = stdout.get(line) ?? "";
      t.true(shows(JSON.parse(answer), JSON.parse(said)), `${page}:${line}\n${said.slice(0, 1000)}`);
    }
  } finally {
    await served.close();
  }
}

for (const page of PAGES.filter((each) => hasCommands(commandsOf(each)))) {
  test.serial(`${page}: what it says to type`, (t) => typed(t, page, OLDEST));
}

if (CURRENT !== OLDEST)
  test.serial("README.md: the same on a machine with a newer Node", (t) => typed(t, "README.md", CURRENT));

test("what is shown and not typed here is for other machines", (t) => {
  for (const page of PAGES)
    for (const { language, text, line } of blocksOf(pageText(page))) {
      t.false(
        ["bash", "shell", "console-session"].includes(language),
        `${page}:${line}: \`\`\`sh is typed by the tests`,
      );
      if (language !== "console") continue;
      for (const [, command] of text.matchAll(/^[$#] (\S+)/gm))
        t.true(
          [
            "sudo",
            "docker",
            "podman",
            "cosign",
            "kubectl",
            "systemctl",
            "journalctl",
            "kill",
            "systemd-analyze",
          ].includes(command!),
          `${page}:${line}: ${command}`,
        );
    }
});

test("settings that pages show are settings", (t) => {
  for (const page of PAGES)
    for (const { language, text, line } of blocksOf(pageText(page))) {
      if (language !== "yaml") continue;
      const value = parse(text) as Record<string, unknown>;
      if (!Object.hasOwn(value, "railgate")) continue;
      const { faults } = checkSettings(ConfigFile, value);
      t.deepEqual(
        faults.map(({ path, message }) => `${page}:${line}: ${formatPath(path)} ${message}`),
        [],
      );
    }
});

test("pages and headings that pages link to exist", (t) => {
  for (const page of PAGES)
    for (const [, target, heading] of pageText(page).matchAll(/\]\(([^)#:\s]*)(?:#([^)\s]+))?\)/g)) {
      const file = target === "" ? join(ROOT, page) : join(ROOT, page, "..", target!);
      t.true(existsSync(file), `${page} links to ${target}`);
      if (heading !== undefined) t.true(headingsOf(file).includes(heading), `${page} links to ${target}#${heading}`);
    }
});

/** As GitHub names them. */
function headingsOf(file: string): string[] {
  return [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** What snippets take for granted. */
const GIVEN: Record<string, string> = {
  gate: `import { openRailgate as __open } from "railgate"; await using gate = await __open({ dataDir: __data });`,
  request: `const request: unknown = JSON.parse(__read("examples/requests/container-low-risk.json", "utf8"));`,
  rails: `const rails = [{ rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 9 }, { rail_id: "sandbox", level: "sandbox_isolated", latency_overhead_us: 9, capacity: 9 }] as const;`,
  policy: `const policy = { elevation_allowed: true, max_target_level: "sandbox_isolated", preserve_latency_budget: false, latency_budget_us: 0 } as const;`,
  token: `const token: string = "";`,
  bytes: `const bytes = new Uint8Array(__read(__file));`,
  keys: `const keys = JSON.parse(__read("bundles/railgate.jwks.json", "utf8"));`,
  jwks: `const jwks = JSON.parse(__read("test/corpus/exports/railgate-0.1.jwks.json", "utf8"));`,
  input: `const input = { request: {}, facts: {}, context: {} };`,
};
/** What can only be compiled here: it asks a node elsewhere, or needs an attestation that verifies. */
const NOT_RUN = /node-1\.example|attest\(/;

test("programs that pages show compile, strictly, and run", async (t) => {
  const tree = await checkout();
  const files: { name: string; runs: boolean }[] = [];
  for (const page of PAGES.filter((each) => each !== "docs/reference.md"))
    for (const { language, text, line } of blocksOf(pageText(page))) {
      if (language !== "ts") continue;
      const name = `snippet-${page.replaceAll(/\W/g, "-")}-${line}.ts`;
      writeFileSync(join(tree, name), snippet(text));
      files.push({ name, runs: !NOT_RUN.test(text) });
    }
  t.true(files.length > 4);
  const options = {
    extends: "./tsconfig.json",
    compilerOptions: { noUnusedLocals: false },
    files: files.map(({ name }) => name),
  };
  writeFileSync(join(tree, "tsconfig.snippets.json"), JSON.stringify({ ...options, include: [] }));
  const compiled = await run("node_modules/.bin/tsc", ["-p", "tsconfig.snippets.json", "--noEmit"], {
    cwd: tree,
  }).catch((error: { stdout: string }) => error);
  t.is(compiled.stdout, "");
  for (const { name, runs } of files)
    if (runs) await t.notThrowsAsync(run(process.execPath, [name], { cwd: tree }), name);
});

function snippet(text: string): string {
  const code = text.replaceAll(/\/\/.*$/gm, "");
  const names = Object.keys(GIVEN).filter(
    (name) =>
      new RegExp(`\\b${name}\\b`).test(code) && !new RegExp(`(?:const|using) (?:\\{[^}]*\\b)?${name}\\b`).test(code),
  );
  const file = code.includes("loadBundle") ? "bundles/railgate.tar.gz" : "test/corpus/exports/railgate-0.1.tar.gz";
  const prelude = [
    `import { mkdtempSync as __temp, readFileSync as __read } from "node:fs";`,
    `const [__file, __data]: string[] = [${JSON.stringify(file)}, __temp("snippet-data-")] as [string, string];`,
    ...names.map((name) => GIVEN[name]!),
  ];
  return `${prelude.join("\n")}\n${text}\nexport {};\n`;
}
