// Writes what is derived: schemas for the policies, the catalogue, and the reference pages; `--check` says what is not current.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { readAnnotations, type Rule } from "../src/workshop/annotations.ts";
import { type CatalogueText, catalogueOf, HOST_PACKAGE, isExtension } from "../src/workshop/catalogue.ts";
import { checkExtensions } from "../src/workshop/extensions.ts";
import { reportingFaults } from "./opa.ts";
import { apiDoc } from "./api-doc.ts";
import { capabilitiesText } from "./capabilities.ts";
import { decisionsDoc } from "./decisions-doc.ts";
import { runOpa } from "../src/workshop/opa.ts";
import { requestDoc } from "./request-doc.ts";
import { rulesDoc } from "./rules-doc.ts";
import { settingsDoc } from "./settings-doc.ts";
import { type Specification, traceabilityDoc } from "./traceability.ts";

const SETTINGS_SCHEMA = "docs/settings.schema.json";
const SETTINGS = "policy/railgate/settings/data.json";
/** Whole inputs that the law accepts, and the settings that tests bring: one source for the corpus and for the tests in Rego. */
const BASES = "test/corpus/admission/bases.json";
const TEST_SETTINGS = "test/corpus/settings.json";
const FIXTURE = "policy/railgate/fixture/bases_test.rego";
const CONFIGURATION = "docs/configuration.md";
const HOST_CATALOGUE = "src/core/catalogue.ts";
/** The two source specifications, by their path from docs/. */
const SPECIFICATIONS = {
  "spec/ws3-execution-envelopes.md": "Execution envelopes",
  "spec/isolation-mesh.md": "Isolation mesh contract",
};

/** Every generated file with the content it should have. Schemas come first: the policies that the rest is read from use them. */
export async function generated(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  files.set("policy/capabilities.json", await capabilitiesText());
  for (const [name, schema] of Object.entries(await policySchemas())) files.set(`policy/schemas/${name}`, json(schema));
  const annotations = await readAnnotations();
  const uses = await checkExtensions(annotations);
  for (const { file, line, message } of uses) console.error(`${file}:${line}: ${message}`);
  const { rules } = annotations;
  const shipped = rules.filter((rule) => !isExtension(rule.package));
  files.set(FIXTURE, await fixture());
  files.set("policy/railgate/catalogue/data.json", json(catalogueOf(rules)));
  files.set(HOST_CATALOGUE, hostCatalogue(catalogueOf(shipped), shipped));
  files.set("docs/rules.md", rulesDoc(shipped, readJson(SETTINGS)));
  files.set("docs/request.md", requestDoc());
  files.set("docs/reference.md", apiDoc());
  files.set(CONFIGURATION, settingsDoc(readFileSync(CONFIGURATION, "utf8")));
  files.set(SETTINGS_SCHEMA, json(await settingsSchema()));
  files.set("docs/decisions/README.md", decisionsDoc());
  files.set("docs/traceability.md", traceabilityDoc(specifications(), shipped));
  return files;
}

/** What the host must know of the law's codes though no policy, or an older one, is active. */
function hostCatalogue(catalogue: Record<string, CatalogueText>, rules: readonly Rule[]): string {
  const statuses = Object.entries(catalogue).map(([code, entry]) => [code, entry.http_status]);
  const hosts = rules
    .filter((rule) => rule.package === HOST_PACKAGE)
    .map(({ code, rule, class: refusalClass, httpStatus, title, message, solution }) => [
      code,
      { rule, class: refusalClass, http_status: httpStatus, title, message, solution },
    ]);
  return formatted(
    HOST_CATALOGUE,
    `// What the host must know of the law's codes, whatever policy is active. Written by \`npm run generate\` from the METADATA in policy/: change it there.

/** The HTTP status with which a command that is refused by a code is answered. */
export const HTTP_STATUSES = ${JSON.stringify(Object.fromEntries(statuses))} as const;

/** What the host itself refuses in the law's place. */
export const HOST_REFUSALS = ${JSON.stringify(Object.fromEntries(hosts))} as const;
`,
  );
}

function formatted(path: string, text: string): string {
  const run = spawnSync("node_modules/.bin/biome", ["format", `--stdin-file-path=${path}`], {
    input: text,
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(`biome format ${path}: ${run.stderr}`);
  return run.stdout;
}

async function fixture(): Promise<string> {
  const rules = Object.entries({ ...readJson(BASES), settings: readJson(TEST_SETTINGS) }).map(
    ([name, value]) => `${name} := ${JSON.stringify(value, null, 1)}\n`,
  );
  const head = `# Whole inputs that the law accepts, and settings. Written by \`npm run generate\` from ${BASES} and ${TEST_SETTINGS}.\npackage railgate.fixture\n`;
  const run = await runOpa(["fmt"], { input: [head, ...rules].join("\n") });
  if (run.status !== 0) throw new Error(`opa fmt ${FIXTURE}: ${run.stderr}`);
  return run.stdout;
}

async function policySchemas(): Promise<Record<string, object>> {
  const { policySchemas } = await import("../src/core/schema/index.ts");
  return policySchemas;
}

/** For editors, of what an operator may lay over the settings. */
async function settingsSchema(): Promise<object> {
  const { plainSchema } = await import("../src/core/schema/plain.ts");
  const { SettingsSchema } = await import("../src/core/schema/settings.ts");
  return { $schema: "https://json-schema.org/draft/2020-12/schema", ...plainSchema(SettingsSchema) };
}

export function specifications(): Specification[] {
  return Object.entries(SPECIFICATIONS).map(([path, title]) => ({
    path,
    title,
    text: readFileSync(`docs/${path}`, "utf8"),
  }));
}

const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8")) as object;

/** The generated files that differ from what they should be, or are missing. */
export function outdated(files: Map<string, string>): string[] {
  return [...files]
    .filter(([path, content]) => !existsSync(path) || readFileSync(path, "utf8") !== content)
    .map(([path]) => path);
}

async function main(): Promise<void> {
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

if (import.meta.main) await reportingFaults(main);
