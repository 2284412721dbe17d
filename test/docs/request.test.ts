// docs/request.md and OpenAPI describe every field of a request, name the rules that read it, and give examples that are what they say.
import { globSync, readFileSync } from "node:fs";
import test from "ava";
import { AdmissionRequestSchema, openapiComponents, plainSchema } from "../../src/core/schema/index.ts";
import { placesOf, REQUEST_WORDS } from "../../src/core/schema/request-words.ts";
import { readAnnotations } from "../../src/workshop/annotations.ts";

interface Case {
  readonly decision?: { readonly refusals?: readonly (readonly [string, string])[] };
}

test("every field of the schema is described, and no other", (t) => {
  t.deepEqual(Object.keys(REQUEST_WORDS).sort(), placesOf(plainSchema(AdmissionRequestSchema)).sort());
});

test("rules that are named exist, and whatever a rule points at names it", async (t) => {
  const { rules } = await readAnnotations();
  const ids = new Set(rules.map(({ rule }) => rule));
  for (const [place, { rules: named }] of Object.entries(REQUEST_WORDS))
    for (const rule of named) t.true(ids.has(rule), `${place}: ${rule}`);
  let pairs = 0;
  for (const [rule, pointer] of pointed()) {
    const words = REQUEST_WORDS[pointer.replaceAll(/\/\d+/g, "/[]").replace(/\/\[\]$/, "")];
    if (words === undefined) continue; // What an unknown envelope holds.
    pairs++;
    t.true(words.rules.includes(rule), `${pointer} is refused by ${rule}`);
  }
  t.true(pairs > 50);
});

/** Each `[rule, pointer]` in the cases of the corpus. */
function* pointed(node: unknown = corpus()): Generator<[string, string]> {
  if (typeof node !== "object" || node === null) return;
  if (Array.isArray(node)) {
    const [rule, pointer] = node as unknown[];
    if (typeof rule === "string" && /^[A-Z]{3}-\d\d$/.test(rule) && typeof pointer === "string") yield [rule, pointer];
  }
  const { rule, pointer } = node as { rule?: unknown; pointer?: unknown };
  if (typeof rule === "string" && typeof pointer === "string") yield [rule, pointer];
  for (const member of Object.values(node)) yield* pointed(member);
}

const corpus = (): Case[] =>
  globSync("test/corpus/admission/*.json").map((file) => JSON.parse(readFileSync(file, "utf8")) as Case);

test("OpenAPI has the words", (t) => {
  const { properties } = openapiComponents["AdmissionRequest"] as { properties: { workload: { properties: any } } };
  t.like(properties.workload.properties.risk, {
    description: "How much harm it could do. Read by ENV-04, ENV-03.",
    examples: ["low"],
  });
});
