// A folder of policies of an author's own, joined to the law that comes with Railgate: copied side by side, as OPA is to see them.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { RailgateError } from "../core/errors.ts";
import { PolicyError } from "./annotations.ts";

/** The law in Rego, as it comes with Railgate. */
export const SHIPPED_POLICY = fileURLToPath(new URL("../../policy", import.meta.url));

/** A folder that was named is not there, or holds no policies. */
export class FolderError extends RailgateError {
  static override code = "used_wrongly";
}

/** What of a folder is policy; requests, settings and pages beside it are not. */
const POLICY_FILE = /(?:\.rego|(?:^|\/)data\.(?:json|ya?ml)|(?:^|\/)\.manifest)$/;
const REGO = /\.rego$/;
const DATA = /(?:^|\/)data\.(?:json|ya?ml)$/;
const TEST = /_test\.rego$/;
/** What tests of one's own build on. */
const FIXTURE = /^railgate\/fixture\//;
const MANIFEST = ".manifest";

export interface JoinOptions {
  /** Leave the shipped law out. */
  readonly standalone?: boolean;
  /** Bring the author's tests, and what they build on. */
  readonly tests?: boolean;
}

/** Which of the files on which everything rests have changed since they were last looked at. */
export interface Changes {
  readonly rego: boolean;
  readonly data: boolean;
}

interface Copied {
  readonly mtimeMs: number;
  readonly size: number;
}

/**
 * The policies of a folder: those below its `policy/`, where it has one, else its own.
 * @throws FolderError it is not there.
 */
function policyFolder(given: string): string {
  const folder = resolve(given);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new FolderError(`there is no folder ${given}`);
  const below = join(folder, "policy");
  return existsSync(below) && statSync(below).isDirectory() ? below : folder;
}

/** The author's folder where nobody names one: this one, where it has policies below `policy/`. */
export function folderHere(cwd = process.cwd()): string | undefined {
  const below = join(cwd, "policy");
  return existsSync(below) && statSync(below).isDirectory() && policyFiles(below).length > 0 ? cwd : undefined;
}

/** Policies as OPA is to see them. Gone from the disk when it is disposed of. */
export class JoinedPolicies implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "railgate-policy-"));
  /** The author's; undefined where there is only the shipped law. */
  readonly folder: string | undefined;
  readonly standalone: boolean;
  readonly #tests: boolean;
  readonly #cwd: string;
  #authored: ReadonlyMap<string, Copied> = new Map();

  /**
   * @param given the author's folder; none, or the shipped law itself: that alone.
   * @throws FolderError
   */
  constructor(given: string | undefined, options: JoinOptions = {}, cwd = process.cwd()) {
    const folder = given === undefined ? SHIPPED_POLICY : policyFolder(given);
    this.folder = folder === SHIPPED_POLICY ? undefined : folder;
    this.standalone = options.standalone === true && this.folder !== undefined;
    this.#tests = options.tests === true;
    this.#cwd = cwd;
    if (!this.standalone) this.#copyShipped();
    this.refresh();
    if (this.folder !== undefined && ![...this.#authored.keys()].some((name) => POLICY_FILE.test(name)))
      throw new FolderError(`${given} holds no policies: no .rego and no data.json`);
  }

  /** Copies what of the author's has changed, and takes away what is gone. */
  refresh(): Changes {
    if (this.folder === undefined) return { rego: false, data: false };
    const before = this.#authored;
    const now = new Map(policyFiles(this.folder).map((name) => [name, stamp(join(this.folder!, name))]));
    const changed = [...now].filter(([name, { mtimeMs, size }]) => {
      const known = before.get(name);
      return known?.mtimeMs !== mtimeMs || known.size !== size;
    });
    const gone = [...before.keys()].filter((name) => !now.has(name));
    for (const name of gone) this.#restore(name);
    for (const [name] of changed) if (this.#counts(name)) copy(join(this.folder, name), join(this.directory, name));
    this.#authored = now;
    const names = [...gone, ...changed.map(([name]) => name)];
    return { rego: names.some((name) => REGO.test(name)), data: names.some((name) => !REGO.test(name)) };
  }

  /** Files of the author's, as they are named in the folder. */
  get authored(): readonly string[] {
    return [...this.#authored.keys()];
  }

  /** Files of the author's that take the place of the law's own: a fork of it, which may be weaker. */
  get replaced(): readonly string[] {
    return this.standalone
      ? []
      : this.authored.filter((name) => name !== MANIFEST && existsSync(join(SHIPPED_POLICY, name)));
  }

  /** What a file is called to a person: the author's by its path from here, the law's by its path in the package. */
  shown(name: string): string {
    if (!this.#authored.has(name)) return `policy/${name}`;
    const path = join(this.folder!, name);
    const here = relative(this.#cwd, path);
    return here.startsWith("..") ? path : here;
  }

  /** The same of a path below `directory`. */
  shownPath = (path: string): string =>
    this.shown(relative(this.directory, resolve(this.directory, path)).replaceAll(sep, "/"));

  /** What OPA or a check said of files here, of the files as people know them. */
  told(error: unknown): unknown {
    if (!(error instanceof PolicyError)) return error;
    if (error.faults.length > 0)
      return new PolicyError(error.faults.map((fault) => ({ ...fault, file: this.shownPath(fault.file) })));
    const text = error.message.replaceAll(/[\w.@+/-]+\.(?:rego|json|ya?ml)\b/g, (path) => {
      const name = relative(this.directory, resolve(this.directory, path)).replaceAll(sep, "/");
      return existsSync(join(this.directory, name)) && !name.startsWith("..") ? this.shown(name) : path;
    });
    return new PolicyError(text);
  }

  /** Data as it lies here, the author's and the law's. */
  dataFiles(): string[] {
    return policyFiles(this.directory).filter((name) => DATA.test(name));
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #copyShipped(): void {
    const own = this.folder === undefined;
    for (const name of policyFiles(SHIPPED_POLICY)) {
      const wanted = !TEST.test(name) || (this.#tests && (own || FIXTURE.test(name)));
      if (wanted) copy(join(SHIPPED_POLICY, name), join(this.directory, name));
    }
  }

  #counts(name: string): boolean {
    return (this.#tests || !TEST.test(name)) && (this.standalone || name !== MANIFEST);
  }

  /** What the author's file had taken the place of. */
  #restore(name: string): void {
    const shipped = join(SHIPPED_POLICY, name);
    if (!this.standalone && existsSync(shipped)) copy(shipped, join(this.directory, name));
    else rmSync(join(this.directory, name), { force: true });
  }
}

/** Sorted, by their paths from the folder with `/`. Folders whose name begins with a dot, and packages, are not looked into. */
export function policyFiles(folder: string, below = ""): string[] {
  const entries = readdirSync(join(folder, below), { withFileTypes: true });
  return entries
    .flatMap((entry) => {
      const name = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory())
        return entry.name.startsWith(".") || entry.name === "node_modules" ? [] : policyFiles(folder, name);
      return POLICY_FILE.test(name) ? [name] : [];
    })
    .sort();
}

function stamp(file: string): Copied {
  const { mtimeMs, size } = statSync(file);
  return { mtimeMs, size };
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** @throws PolicyError it is no JSON. */
export function readJsonObject(file: string): { [name: string]: unknown } {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as { [name: string]: unknown };
  } catch {
    // Said below.
  }
  throw new PolicyError(`${file} is no JSON object`);
}

export function writeJson(file: string, value: object): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}
