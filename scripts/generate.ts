// Writes what is derived: schemas for the policies, the catalogue, and the reference pages; `--check` says what is not current.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { catalogueOf, readAnnotations } from "./annotations.ts";
import { rulesDoc } from "./rules-doc.ts";
import { traceabilityDoc } from "./traceability.ts";

const SETTINGS = "policy/railgate/settings/data.json";
const SPECIFICATION = "docs/spec/ws3-execution-envelopes.md";

/** Every generated file with the content it should have. Schemas come first: the policies that the rest is read from use them. */
export async function generated(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const [name, schema] of Object.entries(await policySchemas())) files.set(`policy/schemas/${name}`, json(schema));
  const { rules } = await readAnnotations();
  const shipped = rules.filter((rule) => !rule.package.startsWith("railgate.extensions"));
  files.set("policy/railgate/catalogue/data.json", json(catalogueOf(rules)));
  files.set("docs/rules.md", rulesDoc(shipped, readJson(SETTINGS)));
  files.set("docs/traceability.md", traceabilityDoc(readFileSync(SPECIFICATION, "utf8"), shipped));
  return files;
}

async function policySchemas(): Promise<Record<string, object>> {
  const { policySchemas } = await import("../src/core/schema/index.ts");
  return policySchemas;
}

const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8")) as object;

/** The generated files that differ from what they should be, or are missing. */
export function outdated(files: Map<string, string>): string[] {
  return [...files]
    .filter(([path, content]) => !existsSync(path) || readFileSync(path, "utf8") !== content)
    .map(([path]) => path);
}

if (import.meta.main) {
  const files = await generated();
  const changed = outdated(files);
  if (process.argv.includes("--check")) {
    for (const path of changed) console.error(`${path} is not current; run \`npm run generate\``);
    process.exitCode = changed.length === 0 ? 0 : 1;
  } else {
    for (const path of changed) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, files.get(path)!);
      console.log(`wrote ${path}`);
    }
    if (changed.length === 0) console.log("all generated files are current");
  }
}
