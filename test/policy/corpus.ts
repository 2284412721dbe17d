// Reads the corpus of admission cases: each names a base input, what it sets and removes there, and the decision due.
import { readdirSync, readFileSync } from "node:fs";

export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };
export type JsonObject = { [member: string]: Json };

export interface Refusal {
  rule: string;
  code: string;
  pointer: string;
}

/** What a case expects; members that are absent are not compared. */
export interface Expectation {
  outcome: "accepted" | "refused";
  envelope: { declared: string | null; required: string };
  refusals: Refusal[];
  triggers?: Json;
  obligations?: Json;
  exceptions?: Json;
  rail?: Json;
}

export interface AdmissionCase {
  name: string;
  input: JsonObject;
  expect: Expectation;
}

interface StoredCase {
  name: string;
  input: { base: string; set?: JsonObject; remove?: string[] };
  expect: Expectation;
}

const directory = new URL("../corpus/admission/", import.meta.url);

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, directory), "utf8"));

/** The whole, accepted inputs that cases start from, by envelope kind. */
export const bases = read("bases.json") as { container: JsonObject; vm: JsonObject; tee: JsonObject };

/** Every case with its input written out, its name prefixed with the subject's. */
export function admissionCases(): AdmissionCase[] {
  const files = readdirSync(directory)
    .filter((name) => name.endsWith(".json") && name !== "bases.json")
    .sort();
  return files.flatMap((file) =>
    (read(file) as StoredCase[]).map(({ name, input, expect }) => ({
      name: `${file.replace(".json", "")}: ${name}`,
      input: changed(bases[input.base as keyof typeof bases], input.set ?? {}, input.remove ?? []),
      expect,
    })),
  );
}

/** A copy of `base` with members set and removed by RFC 6901 pointers; an index one past the end appends. */
export function changed(base: JsonObject, set: JsonObject, remove: readonly string[]): JsonObject {
  const copy = structuredClone(base);
  for (const [pointer, value] of Object.entries(set)) {
    const [parent, member] = parentOf(copy, pointer);
    if (Array.isArray(parent)) parent[Number(member)] = structuredClone(value);
    else
      Object.defineProperty(parent, member, {
        value: structuredClone(value),
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  for (const pointer of remove) {
    const [parent, member] = parentOf(copy, pointer);
    if (Array.isArray(parent)) parent.splice(Number(member), 1);
    else if (member in parent) delete parent[member];
    else throw new Error(`nothing to remove at ${pointer}`);
  }
  return copy;
}

function parentOf(root: Json, pointer: string): [Json[] | JsonObject, string] {
  const members = pointer
    .split("/")
    .slice(1)
    .map((member) => member.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = members.pop();
  let parent: Json | undefined = root;
  for (const member of members)
    parent = Array.isArray(parent) ? parent[Number(member)] : (parent as JsonObject)[member];
  if (typeof parent !== "object" || parent === null || last === undefined) throw new Error(`no member at ${pointer}`);
  return [parent, last];
}
