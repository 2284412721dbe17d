// Reads manifests from files, folders and standard input: every document of each, lists by their items, with the line that each thing stands on.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { Composer, isCollection, isMap, LineCounter, Parser, type Document, type Node } from "yaml";
import { UsageError } from "./command.ts";

const STDIN = "-";
const STDIN_FD = 0;
const EXTENSIONS = new Set([".yaml", ".yml", ".json"]);
const SKIPPED = new Set(["node_modules", ".git"]);

/** One object of a file, or why there is none. */
export interface ManifestDocument {
  readonly file: string;
  /** Where it begins, from 1. */
  readonly line: number;
  readonly object: unknown;
  /** Why it cannot be read. */
  readonly problem?: string;
  /** The line of a place such as `spec.containers[0].image`; of what is around it where it is not there. */
  lineOf(place: string): number;
}

/** A file, and what it holds. */
export interface ManifestFile {
  readonly file: string;
  readonly text: string;
}

/** Files in order, folders by name and all the way down, none of which is held. @throws UsageError there is no such file. */
export function* readFiles(paths: readonly string[]): Generator<ManifestFile> {
  for (const path of paths) for (const file of filesIn(path)) yield { file, text: textOf(file) };
}

function* filesIn(path: string): Generator<string> {
  if (path === STDIN || !isFolder(path)) return yield path;
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) yield* filesIn(inner);
    } else if (EXTENSIONS.has(extname(entry.name).toLowerCase())) yield inner;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw new UsageError(`there is no file or folder ${path}`, { cause });
  }
}

/** It can be read once, and is looked at twice. */
let standardInput: string | undefined;

function textOf(file: string): string {
  try {
    if (file !== STDIN) return readFileSync(file, "utf8");
    return (standardInput ??= readFileSync(STDIN_FD, "utf8"));
  } catch (cause) {
    throw new UsageError(`can't read ${file} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

/** The documents of a file. */
export function* manifestsIn({ file, text }: ManifestFile): Generator<ManifestDocument> {
  const lines = new LineCounter();
  const composer = new Composer({ prettyErrors: false, uniqueKeys: true, stringKeys: true });
  for (const document of composer.compose(new Parser(lines.addNewLine).parse(text))) {
    const lineAt = (node: Node | null | undefined) => lines.linePos(node?.range?.[0] ?? document.range?.[0] ?? 0).line;
    const [error] = document.errors;
    if (error !== undefined) {
      const line = lines.linePos(error.pos[0]).line;
      yield { file, line, object: undefined, problem: error.message, lineOf: () => line };
    } else if (isMap(document.contents)) yield* objectsIn(file, document, document.contents, lineAt);
  }
}

/** The object, or those that it lists. */
function* objectsIn(
  file: string,
  document: Document,
  node: Node,
  lineAt: (node: Node | null | undefined) => number,
): Generator<ManifestDocument> {
  let object: unknown;
  try {
    object = node.toJS(document);
  } catch (error) {
    yield {
      file,
      line: lineAt(node),
      object: undefined,
      problem: (error as Error).message,
      lineOf: () => lineAt(node),
    };
    return;
  }
  const { kind, items } = object as { kind?: unknown; items?: unknown };
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(items)) {
    for (const i of items.keys()) {
      const item = isCollection(node) ? node.getIn(["items", i], true) : undefined;
      if (isMap(item)) yield* objectsIn(file, document, item, lineAt);
    }
    return;
  }
  yield { file, line: lineAt(node), object, lineOf: (place) => lineAt(nearest(node, stepsOf(place))) };
}

/** `spec.containers[0].name` → spec, containers, 0, name; what stands in brackets and is no number is a member's name. */
const stepsOf = (place: string): (string | number)[] =>
  [...place.matchAll(/\[([^\]]*)\]|([^.[]+)/g)].map(([, index, name]) =>
    index === undefined ? name! : /^\d+$/.test(index) ? Number(index) : index,
  );

/** What stands at a place, or the nearest thing around it. */
function nearest(node: Node, steps: readonly (string | number)[]): Node {
  let at = node;
  for (const step of steps) {
    const next: unknown = isCollection(at) ? at.get(step, true) : undefined;
    if (typeof next !== "object" || next === null) return at;
    at = next as Node;
  }
  return at;
}
