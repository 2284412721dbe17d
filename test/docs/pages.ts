// Pages for people as scripts: what they tell one to type, turned into a shell script, and the trees that it is typed in.
import { execFile, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";

export const ROOT = new URL("../../", import.meta.url).pathname;
const run = promisify(execFile);

/** A fenced block of a page: its language, what stands in it, and its first line's number. */
export interface Block {
  readonly language: string;
  readonly text: string;
  readonly line: number;
  /** Of the JSON block right behind it: what the answer must show. */
  readonly answer: string | undefined;
}

/** Every page that people read: whatever is added is found. Pages that are written by `npm run generate` hold no commands. */
export const PAGES: readonly string[] = ["*.md", "docs/*.md", "docs/*/*.md", "deploy/**/*.md", "examples/**/*.md"]
  .flatMap((pattern) => globSync(pattern, { cwd: ROOT }))
  .filter((name) => name !== "CHANGELOG.md" && !/^docs\/(?:spec|decisions)\//.test(name))
  .sort();

export const pageText = (name: string): string => readFileSync(join(ROOT, name), "utf8");

export function blocksOf(text: string): Block[] {
  const found = [...text.matchAll(/^( *)```(\w*)[^\n]*\n(.*?)^ *```\n(?:\n```json\n(.*?)```)?/gms)];
  return found.map(({ 1: indent = "", 2: language = "", 3: body = "", 4: answer, index }) => ({
    language,
    text: body.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
    line: text.slice(0, index).split("\n").length + 1,
    answer,
  }));
}

/** What is not typed here, each with what covers it. */
const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^npm ci\b.*/, "the tree is installed"],
  [
    /^npm (?:test|start|run bench\S*|run test:rego|run format|run -s interop|run dev)\b.*/,
    "the suites, and the node that runs",
  ],
  [/^(?:npx ava|bash \.ci\/run|\.ci\/\w+)\b.*/, "the suites"],
  [/^npm run (?:generate|bundle)\b.*/, "the tests of what is generated and of the bundle"],
  [/^npm run -s opa -- test --bundle policy(?: --target wasm)?$/, "the suite of the policies"],
  [/^cd test\/interop\b.*/, "`npm run interop`, which needs Go"],
  [/^python3 -m venv\b.*|^\.venv\/bin\/.*/, "needs the network"],
  [/^npx railgate serve(?![^\n]*&)[^\n]*/, "the node that runs"],
];

const CHECKS = `
__status() { case "$3" in *"
$1") ;; *) echo "answered otherwise than $1: $3" >&2; exit 97;; esac
  [ -z "$2" ] || case "$3" in *'"code":"'"$2"'"'*) ;; *) echo "its code is not $2: $3" >&2; exit 97;; esac; }
__exit() { [ "$1" = "$2" ] || { echo "exit $2 and not $1" >&2; exit 97; }; }
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
`;

/** In a checkout `npx railgate` would have npm pack and install it first; docs/cli.md says what is typed there instead. */
export const IN_CHECKOUT = `npx() { if [ "$1" = railgate ]; then shift; PATH="$PWD/node_modules/.bin:$PATH" node bin/cli/main.js "$@"; else command npx "$@"; fi; }
`;

/** The mark before what a block writes. */
const MARK = "\u001e";

/**
 * One shell script of all that a page has in ```sh, so that variables and what runs in the background last. Every command must succeed,
 * but where `# exit N` stands behind it; behind a curl, `# 409 code` is what it is answered with.
 */
export function scriptOf(blocks: readonly Block[]): string {
  const typed = blocks.map(({ text, line }) => {
    let script = text;
    for (const [pattern, why] of ELSEWHERE)
      script = script.replaceAll(new RegExp(pattern, `${pattern.flags}gm`), () => `: ${why.replaceAll(/[`'"]/g, "")}`);
    script = script.replaceAll(
      /^(curl (?:(?!^curl |\n\n).)*?) # (\d{3})(?: (\w+))?$/gms,
      (_, command: string, status: string, code = "") =>
        `__out=$(${command.replace(/^curl/, "curl -w '\\n%{http_code}'")}\n); printf '%s\\n' "$__out"; __status ${status} '${code}' "$__out"`,
    );
    script = script.replaceAll(/^(.*\S) +# exit (\d)\b.*$/gm, "$1 && __rc=0 || __rc=$?; __exit $2 $__rc");
    return `printf '${MARK}%s\\n' ${line}; printf '${MARK}%s\\n' ${line} >&2\n${script}`;
  });
  return `set -e\n${CHECKS}\n${typed.join("\n")}`;
}

/** Whether anything is left to be typed. */
export const hasCommands = (blocks: readonly Block[]): boolean =>
  blocks.some(({ text }) =>
    ELSEWHERE.reduce((rest, [pattern]) => rest.replaceAll(new RegExp(pattern, "gm"), ""), text).trim(),
  );

export interface Typed {
  readonly code: number | null;
  /** By the line at which the block begins. */
  readonly stdout: ReadonlyMap<number, string>;
  readonly stderr: ReadonlyMap<number, string>;
}

/** Types a page. Its processes end with it. */
export async function typeIn(script: string, cwd: string, env: Record<string, string>): Promise<Typed> {
  const shell = spawn("sh", ["-c", script], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err]: Buffer[][] = [[], []];
  shell.stdout.on("data", (data: Buffer) => out!.push(data));
  shell.stderr.on("data", (data: Buffer) => err!.push(data));
  const code = await new Promise<number | null>((resolve) => shell.once("exit", resolve));
  try {
    process.kill(-shell.pid!, "SIGTERM");
  } catch {
    // None of its processes is left.
  }
  return { code, stdout: byBlock(Buffer.concat(out!).toString()), stderr: byBlock(Buffer.concat(err!).toString()) };
}

function byBlock(output: string): Map<number, string> {
  return new Map(
    output
      .split(MARK)
      .slice(1)
      .map((part) => {
        const end = part.indexOf("\n");
        return [Number(part.slice(0, end)), part.slice(end + 1)];
      }),
  );
}

/** Where programs are looked for on a machine: without what npm puts in front for its scripts. */
const machinePath = (process.env["PATH"] ?? "").split(delimiter).filter((dir) => !dir.includes("node_modules"));

const nodeIn = (dir: string) => spawnSync(join(dir, "node"), ["--version"], { encoding: "utf8" }).stdout ?? "";

/** `PATH` of a machine with Node 26, which is this one's, and of one with Node 20, where there is one. */
export const CURRENT = [dirname(process.execPath), ...machinePath].join(delimiter);
const OLDER = machinePath.find((dir) => existsSync(join(dir, "node")) && /^v2[0-3]\./.test(nodeIn(dir)));
export const OLDEST = OLDER === undefined ? CURRENT : [OLDER, ...machinePath].join(delimiter);

const made = mkdtempSync(join(tmpdir(), "railgate-docs-"));
process.on("exit", () => rmSync(made, { recursive: true, force: true }));
export const emptyFolder = (): string => mkdtempSync(join(made, "folder-"));

/** A clean checkout after `npm ci`: the files under version control and those about to be, as they are now. */
export async function checkout(): Promise<string> {
  const tree = emptyFolder();
  const script = `git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tr '\\n' '\\0' |
    xargs -0 cp -a --parents -t "$1" && cp -a bin dist "$1"`;
  await run("bash", ["-c", script, "bash", tree], { cwd: ROOT });
  symlinkSync(join(ROOT, "node_modules"), join(tree, "node_modules"));
  return tree;
}

/**
 * A folder of programs that stands first in PATH: `npm install <railgate>.tgz` lays the package beside its dependencies without a
 * network, and everything else is npm's own.
 */
export function offlineNpm(tarball: string): string {
  const bin = join(made, "bin");
  mkdirSync(bin, { recursive: true });
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const links = Object.keys(dependencies).map(
    (name) =>
      `mkdir -p "node_modules/${dirname(name)}" && ln -sfn "${join(ROOT, "node_modules", name)}" "node_modules/${name}"`,
  );
  const script = `#!/bin/sh
case "$*" in
"install "*${basename(tarball)})
  set -e
  mkdir -p node_modules/railgate node_modules/.bin
  tar xzf "${tarball}" -C node_modules/railgate --strip-components=1
  ln -sfn ../railgate/bin/cli/main.js node_modules/.bin/railgate
  ${links.join("\n  ")}
  ;;
*) PATH="\${PATH#*:}" exec npm "$@" ;;
esac
`;
  writeFileSync(join(bin, "npm"), script, { mode: 0o755 });
  return bin;
}

/** Whether an answer has all that a page shows of it; `…` stands for anything. */
export function shows(shown: unknown, answer: unknown): boolean {
  if (shown === "…") return answer !== undefined;
  if (typeof shown !== "object" || shown === null) return shown === answer;
  if (typeof answer !== "object" || answer === null) return false;
  if (Array.isArray(shown) && shown.length !== (answer as unknown[]).length) return false;
  return Object.entries(shown).every(([name, value]) => shows(value, (answer as Record<string, unknown>)[name]));
}
