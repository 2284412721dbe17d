// Reads the document that a command is given: a JSON or YAML file, or standard input, as strictly as the HTTP door.
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { parseStrict } from "../../core/json.ts";
import { RequestError, type RequestFault } from "../../core/errors.ts";
import { UsageError } from "./command.ts";

const STDIN = "-";
const STDIN_FD = 0;

/** A document as it will be judged: the parsed value, and its JSON bytes. */
export type Document = { readonly value: unknown; readonly bytes: Uint8Array };

/**
 * Reads and parses. YAML is turned into JSON and parsed again by the same strict parser.
 * @throws UsageError when there is no such file; RequestError 400 or 413 for what can't be read.
 */
export async function readDocument(file: string, bytesMax: number): Promise<Document> {
  const given = readBytes(file);
  if (given.length > bytesMax) throw new RequestError(413, [{ pointer: "", message: `larger than ${bytesMax} bytes` }]);
  const bytes = isJson(file, given) ? given : await yamlToJson(given);
  return { value: parseStrict(bytes, { bytesMax }), bytes };
}

function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file === STDIN ? STDIN_FD : file);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (file === STDIN && code === "EOF") return new Uint8Array();
    throw new UsageError(
      code === "ENOENT"
        ? `there is no file ${file}`
        : `can't read ${file === STDIN ? "standard input" : file} (${code})`,
      { cause },
    );
  }
}

/** By its name; without one that says, by how it begins. */
function isJson(file: string, bytes: Uint8Array): boolean {
  const extension = extname(file).toLowerCase();
  if (extension === ".json") return true;
  if (extension === ".yaml" || extension === ".yml") return false;
  const [first] = new TextDecoder().decode(bytes.subarray(0, 1024)).trimStart();
  return first === "{" || first === "[" || first === undefined;
}

async function yamlToJson(bytes: Uint8Array): Promise<Uint8Array> {
  const { parseAllDocuments, LineCounter } = await import("yaml");
  const lines = new LineCounter();
  const documents = parseAllDocuments(decode(bytes), {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    stringKeys: true,
    intAsBigInt: true,
  });
  if (!Array.isArray(documents) || documents.length === 0) throw malformed("not YAML: it is empty");
  if (documents.length > 1) throw malformed("more than one YAML document; give them one at a time");
  const [document] = documents;
  const [error] = document!.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw malformed(
      `${error.code === "DUPLICATE_KEY" ? "duplicate key" : `not YAML: ${error.message}`} at line ${line}, column ${col}`,
    );
  }
  return new TextEncoder().encode(toJson(document!));
}

/** JSON has no infinity and no number that is none; big integers stay exact, and the strict parser refuses them. */
function toJson(document: { toJS(): unknown }): string {
  try {
    return JSON.stringify(document.toJS(), (_, member: unknown) => {
      if (typeof member === "bigint") return rawJson(member.toString());
      if (typeof member === "number" && !Number.isFinite(member))
        throw malformed("a number that JSON doesn't have (.nan or .inf)");
      if (member instanceof Uint8Array || member instanceof Set || member instanceof Map)
        throw malformed("a YAML type that JSON doesn't have");
      return member;
    });
  } catch (cause) {
    if (cause instanceof RequestError) throw cause;
    throw malformed("an alias that has no anchor, never ends, or stands for too much");
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed("not valid UTF-8");
  }
}

/** ECMAScript 2026; the type library doesn't have it yet. */
const rawJson = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);

const malformed = (message: string) => new RequestError(400, [{ pointer: "", message } satisfies RequestFault]);
