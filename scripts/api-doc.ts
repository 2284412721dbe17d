// Writes docs/reference.md: what each entry of the package exports, from the doc comments, as the compiler declares it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** What an importer names, and the module behind it. */
const ENTRIES: readonly (readonly [name: string, module: string])[] = [
  ["railgate", "embed/index"],
  ["railgate/client", "client/index"],
  ["railgate/policy", "policy/index"],
  ["railgate/verify", "evidence/verify/node"],
];

/** One exported declaration: its comment, and what is declared. */
interface Declared {
  readonly comment: string;
  readonly code: string;
}

/** The page. @throws Error with what the compiler said. */
export function apiDoc(): string {
  const dir = mkdtempSync(join(tmpdir(), "railgate-types-"));
  try {
    const run = spawnSync("node_modules/.bin/tsc", [
      "-p",
      "tsconfig.build.json",
      "--emitDeclarationOnly",
      "--outDir",
      dir,
    ]);
    if (run.status !== 0) throw new Error(`tsc: ${run.stdout}${run.stderr}`);
    const shown = new Set<string>();
    const sections = ENTRIES.map(([name, module]) => section(name, exportsOf(join(dir, `${module}.d.ts`)), shown));
    return [
      "<!-- What the package exports. Written by `npm run generate` from the doc comments in src/: change it there. -->",
      "# Reference",
      "What each entry of the package exports, as it is declared. How it is used: [embed.md](embed.md).",
      ...sections,
      "",
    ].join("\n\n");
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** What an entry shares with one before it is named and not repeated. */
function section(name: string, declarations: Map<string, Declared>, shown: Set<string>): string {
  const own = [...declarations].filter(([, { code }]) => !shown.has(code));
  const shared = [...declarations].filter(([, { code }]) => shown.has(code)).map(([each]) => `\`${each}\``);
  for (const [, { code }] of own) shown.add(code);
  const entries = own.map(([each, { comment, code }]) => {
    const shape = /= Static<typeof /.test(code)
      ? "What the schema says, in `/openapi.json` and in [api.md](api.md)."
      : `\`\`\`ts\n${code}\n\`\`\``;
    return [`### ${each}`, ...(comment === "" ? [] : [comment]), shape].join("\n\n");
  });
  const also = shared.length === 0 ? [] : [`As above: ${shared.join(", ")}.`];
  return [`## \`${name}\``, ...entries, ...also].join("\n\n");
}

/** All that a module exports, its own first, by the name under which it is exported. */
function exportsOf(file: string): Map<string, Declared> {
  const text = readFileSync(file, "utf8");
  const found = new Map<string, Declared>();
  for (const [name, declared] of declarationsOf(text)) if (declared.exported) found.set(name, declared);
  for (const [, list, from] of text.matchAll(/^export (?:type )?\{([^}]*)\}(?: from "([^"]+)")?;/gm)) {
    const names = list!.split(",").map((each) => each.trim().replace(/^type /, ""));
    const source = from === undefined ? importedFrom(text, file, names) : exportsOf(beside(file, from));
    for (const name of names) if (source.has(name)) found.set(name, source.get(name)!);
  }
  for (const [, onlyTypes, from] of text.matchAll(/^export (type )?\* from "([^"]+)";/gm))
    for (const [name, declared] of exportsOf(beside(file, from!)))
      if (!found.has(name) && (onlyTypes === undefined || !declared.code.startsWith("const ")))
        found.set(name, declared);
  return found;
}

function importedFrom(text: string, file: string, names: readonly string[]): Map<string, Declared> {
  const imports = [...text.matchAll(/^import (?:type )?\{([^}]*)\} from "(\.[^"]+)";/gm)];
  const from = imports.find(([, list]) => names.every((name) => new RegExp(`\\b${name}\\b`).test(list!)))?.[2];
  return from === undefined ? new Map() : exportsOf(beside(file, from));
}

function beside(file: string, from: string): string {
  const path = join(dirname(file), from.replace(/\.(?:js|ts)$/, ".d.ts"));
  if (!existsSync(path)) throw new Error(`${file} exports from ${from}, which is not there`);
  return path;
}

/** The compiler writes one declaration after the other, each from the first column on, with its comment before it. */
function declarationsOf(text: string): Map<string, Declared & { readonly exported: boolean }> {
  const found = new Map<string, Declared & { exported: boolean }>();
  const pattern =
    /^(\/\*\*[^]*?\*\/\n)?(export )?(?:declare )?(?:abstract )?(?:class|const|function|interface|type) (\w+)[^]*?(?:;|\})$(?=\n[^\s})\]]|\n*$(?![^]))/gm;
  for (const [whole, comment = "", exported, name] of text.matchAll(pattern)) {
    const code = whole
      .slice(comment.length)
      .replace(/^export (?:declare )?/, "")
      .replaceAll(/\n(?: +\/\*\*(?:(?!\*\/)[^])*\*\/)?\n? +(?:#private|private [^\n]*);/g, "");
    found.set(name!, { comment: plain(comment), code, exported: exported !== undefined });
  }
  return found;
}

/** A doc comment as Markdown. */
function plain(comment: string): string {
  const lines = comment.split("\n").map((line) => line.replace(/^\s*\/?\*+\/?\s?/, "").replace(/\s*\*\/$/, ""));
  return lines
    .join("\n")
    .trim()
    .replaceAll(/\n?@throws (?:\{(\w+)\} )?/g, "\n- throws ")
    .replaceAll(/\n?@param (\w+) /g, "\n- `$1`: ")
    .replaceAll(/\n?@returns? /g, "\n- returns ")
    .replaceAll(/\{@link (\w+)\}/g, "`$1`")
    .trim();
}
