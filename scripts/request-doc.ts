// Writes docs/request.md: every field of an admission request, its values, and which rules read it, from the schema and the words beside it.
import { readFileSync } from "node:fs";
import { AdmissionRequestSchema, plainSchema } from "../src/core/schema/index.ts";
import { placesOf, REQUEST_WORDS } from "../src/core/schema/request-words.ts";

type Json = { [name: string]: unknown };

const EXAMPLES = {
  "A container": "container-low-risk.json",
  "A virtual machine": "vm-confidential.json",
  "A trusted execution environment": "tee-restricted-stale-attestation-refused.json",
};
const SETTINGS = "policy/railgate/settings/data.json";

/** The page. @throws Error where the schema has a field that nobody described, or one is described that it lacks. */
export function requestDoc(): string {
  const schema = plainSchema(AdmissionRequestSchema) as Json;
  const places = placesOf(schema);
  const nameless = places.filter((place) => REQUEST_WORDS[place] === undefined);
  const gone = Object.keys(REQUEST_WORDS).filter((place) => !places.includes(place));
  if (nameless.length > 0 || gone.length > 0)
    throw new Error(
      `src/core/schema/request-words.ts lacks ${nameless.join(", ")}; describes what is gone: ${gone.join(", ")}`,
    );
  const settings = JSON.parse(readFileSync(SETTINGS, "utf8")) as Json;
  const rows = places.map((place) => row(place, nodeAt(schema, place), settings));
  const examples = Object.entries(EXAMPLES).flatMap(([title, name]) => [
    `### ${title}`,
    `[examples/requests/${name}](../examples/requests/${name})`,
    `\`\`\`json\n${readFileSync(`examples/requests/${name}`, "utf8").trim()}\n\`\`\``,
  ]);
  return (
    [
      "<!-- Every field of an admission request. Written by `npm run generate` from the schema and src/core/schema/request-words.ts. -->",
      "# The admission request",
      `What \`POST /v1/admissions\` and \`railgate decide\` take. Only \`workload\` with \`workload_id\` and \`tenant_id\` is required: all
else may be absent, and absence never helps, since a rule that needs a missing fact refuses. An unknown field is an error with its
pointer (422), and so is a value of another type or form. Places are JSON pointers; \`[]\` stands for any item, \`*\` for any name.
Values that [settings](policy.md#changing-settings) list are the shipped ones. What each rule says is in [rules.md](rules.md).`,
      `## Fields`,
      `| field | says | form | values | read by |\n| --- | --- | --- | --- | --- |\n${rows.join("\n")}`,
      "## An example for each envelope",
      "The third was accepted for an hour after its `measured_at`, and is refused since (TEE-03).",
      ...examples,
      "",
    ]
      .join("\n\n")
      .trimEnd() + "\n"
  );
}

function row(place: string, node: Json, settings: Json): string {
  const { says, rules, settings: listed } = REQUEST_WORDS[place]!;
  const values = listed === undefined ? enumerated(node) : `${valuesOf(settings, listed)} (\`settings.${listed}\`)`;
  const read = rules.map((rule) => `[${rule}](rules.md)`).join(", ");
  return `| \`${place}\` | ${says} | ${formOf(node)} | ${values} | ${read} |`;
}

function valuesOf(settings: Json, path: string): string {
  let value: unknown = settings;
  for (const name of path.split(".")) value = (value as Json | undefined)?.[name];
  if (typeof value !== "object" || value === null) throw new Error(`${path} is not in ${SETTINGS}`);
  const names = Object.entries(value as Json).flatMap(([name, member]) =>
    typeof member === "object" &&
    member !== null &&
    !Array.isArray(member) &&
    Object.values(member).every((each) => each === true)
      ? Object.keys(member)
      : [name],
  );
  return [...new Set(names)].map((name) => `\`${name}\``).join(", ");
}

const enumerated = (node: Json): string =>
  ((node["enum"] as string[] | undefined) ?? []).map((value) => `\`${value}\``).join(", ");

/** In words: what a value must be for the request to be read at all. */
function formOf(node: Json): string {
  const branches = node["anyOf"] as Json[] | undefined;
  if (branches !== undefined) {
    if (typeof node["description"] === "string") return node["description"];
    const forms = [...new Set(branches.map(formOf))];
    return forms.length > 1 ? forms.join(" or ") : forms[0]!;
  }
  if (typeof node["description"] === "string") return node["description"].replace(/^an? /, "");
  if (node["const"] !== undefined) return `\`${String(node["const"])}\``;
  const type = String(node["type"]);
  if (type === "array") return `list of at most ${String(node["maxItems"])}`;
  if (type === "string")
    return node["maxLength"] === undefined ? "text" : `text of at most ${String(node["maxLength"])} characters`;
  if (type === "integer") return "whole number, 0 to 2^53−1";
  return { boolean: "true or false", object: "object", null: "null" }[type] ?? type;
}

/** The schema at a place; of a union, the branch that has it. */
function nodeAt(schema: Json, place: string): Json {
  let nodes: Json[] = [schema];
  for (const part of place.split("/").slice(1))
    nodes = nodes
      .flatMap((node) => [node, ...((node["anyOf"] as Json[] | undefined) ?? [])])
      .flatMap((node) => {
        if (part === "[]") return node["items"] === undefined ? [] : [node["items"] as Json];
        if (part === "*") return Object.values((node["patternProperties"] as Json | undefined) ?? {}) as Json[];
        const member = (node["properties"] as Json | undefined)?.[part];
        return member === undefined ? [] : [member as Json];
      });
  const [first, ...others] = nodes;
  return others.length === 0 || place !== "/workload/envelope/kind"
    ? first!
    : { type: "string", enum: ["container", "vm", "tee"] };
}
