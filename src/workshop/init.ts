// A folder for policies of one's own: an extension with its tests, requests to try, settings, and what a CI runs. All of it works as it stands.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "../node/options.ts";
import { FolderError } from "./folder.ts";

const EXAMPLE = fileURLToPath(new URL("../../examples/requests/container-low-risk.json", import.meta.url));
const TEAM = "payments";
/** No name for a package. */
const KEYWORDS = new Set(
  "and as contains default else every false if import in not null or package some true with".split(" "),
);

/**
 * Writes the folder, making it where there is none.
 * @returns the files, by their paths from it. @throws FolderError it is there and not empty, or cannot be written.
 */
export function initFolder(given: string): string[] {
  const folder = resolve(given);
  if (existsSync(folder) && (!statSync(folder).isDirectory() || readdirSync(folder).length > 0))
    throw new FolderError(`${given} is there already, and not an empty folder; name a new one`);
  const files = Object.entries(contents(packageName(basename(folder))));
  try {
    for (const [name, text] of files) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
  } catch (cause) {
    throw new FolderError(`can't write ${given} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  return files.map(([name]) => name);
}

/** What the extension is called, from the name of the folder. */
function packageName(name: string): string {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replaceAll(/^[_0-9]+|_+$/g, "");
  return plain === "" || KEYWORDS.has(plain) ? "acme" : plain;
}

function contents(name: string): { [file: string]: string } {
  const attribute = `${name.replaceAll("_", "-")}.example/team`;
  const extension = `policy/railgate/extensions/${name}`;
  const request = JSON.parse(readFileSync(EXAMPLE, "utf8")) as { workload: { [member: string]: unknown } };
  const owned = { ...request, workload: { ...request.workload, attributes: { [attribute]: TEAM } } };
  return {
    "README.md": readme(name),
    "policy/.manifest": manifest(name),
    [`${extension}/${name}.rego`]: rule(name, attribute),
    [`${extension}/${name}_test.rego`]: test(name, attribute),
    "requests/admitted.json": `${JSON.stringify(owned, null, 2)}\n`,
    "requests/refused.json": `${JSON.stringify(request, null, 2)}\n`,
    "settings.yaml": settings(name),
    ".github/workflows/policy.yml": workflow(),
    ".gitignore": "*.pem\n*.tar.gz\ncounterexample.json\n",
  };
}

/** What a node holds settings against before it decides with them. */
function manifest(name: string): string {
  const teams = { type: "object", additionalProperties: { type: "boolean" } };
  const own = { type: "object", properties: { teams }, additionalProperties: false };
  const settings_schema = { properties: { extensions: { properties: { [name]: own } } } };
  return `${JSON.stringify({ metadata: { railgate: { settings_schema } } }, null, 2)}\n`;
}

const idOf = (name: string): string => `${name.replaceAll("_", "-").toUpperCase()}-01`;

const rule = (name: string, attribute: string): string => `# What we ask of workloads beyond the law.
package railgate.extensions.${name}

import data.railgate.lib
import data.railgate.settings

# METADATA
# title: No team answers for the workload
# description: Whatever is not public names a team of ours, which answers for it.
# custom:
#   rule: ${idOf(name)}
#   code: ${name}_team_missing
#   class: policy_denied
#   short_name: team_named
#   message: "The workload is {classification}, and {team} is no team that answers for it."
#   solution: "Name a team in workload.attributes, as ${attribute}."
#   source: "Our handbook"
refusals contains lib.refuse(rego.metadata.rule(), "/workload/attributes", params) if {
	lib.workload.classification != "public"
	not team_named(lib.workload)
	params := {
		"classification": lib.shown(lib.workload, "classification"),
		"team": lib.shown(object.get(lib.workload, "attributes", {}), "${attribute}"),
	}
}

# A function, since \`not\` before a lookup whose key is missing would pass in silence.
team_named(workload) if settings.extensions.${name}.teams[workload.attributes["${attribute}"]]
`;

const test = (name: string, attribute: string): string => `# What the extension refuses, and what it leaves alone.
package railgate.extensions.${name}_test

import data.railgate.extensions.${name}
import data.railgate.fixture

owned := fixture.with_set(fixture.container, {"/request/workload/attributes": {"${attribute}": "${TEAM}"}})

test_a_team_of_ours_is_enough if refused(owned) == set()

test_a_team_of_nobody_is_none if {
	given := fixture.with_set(owned, {"/request/workload/attributes": {"${attribute}": "others"}})
	refused(given) == {["${idOf(name)}", {"classification": "internal", "team": "others"}]}
}

test_no_team_is_refused if {
	refused(fixture.container) == {["${idOf(name)}", {"classification": "internal", "team": "none"}]}
}

test_what_is_public_needs_none if {
	refused(fixture.with_set(fixture.container, {"/request/workload/classification": "public"})) == set()
}

# Tests bring their own settings, so that those of operators leave them as they are.
refused(given) := {[refusal.rule, refusal.params] | some refusal in refusals} if {
	refusals := ${name}.refusals with input as given
		with data.railgate.settings.extensions as {"${name}": {"teams": {"${TEAM}": true}}}
}
`;

const settings = (
  name: string,
): string => `# Laid over the settings of the policy: mappings are merged, a list or a value takes the place of what was there, and null takes an
# entry out of a table. Try it: npx railgate try requests/admitted.json --settings settings.yaml
extensions:
  ${name}:
    teams:
      ${TEAM}: true
#container:
#  runtimes:
#    kata: null
`;

const readme = (name: string): string => `# Policies of our own

They join the law that comes with Railgate, and can only add refusals to it.

| | |
| --- | --- |
| \`policy/railgate/extensions/${name}/\` | the rules, with their tests |
| \`policy/.manifest\` | the JSON Schema that settings are held against |
| \`settings.yaml\` | settings laid over the law's |
| \`requests/\` | requests to try |

    npx railgate test --coverage
    npx railgate try requests/refused.json --settings settings.yaml --watch
    npx railgate check --at-least railgate
    npx railgate bundle build -o bundle.tar.gz --sequence 1 --signing-key policy-key.pem

How to go on: docs/write-policy.md in the package.
`;

const workflow =
  (): string => `# Tests, tries and builds the policies. The signing key is a secret of the repository, POLICY_KEY, in PEM.
name: policy
on: [push, pull_request]
permissions:
  contents: read
jobs:
  policy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: actions/setup-node@v5
        with:
          node-version: 24
      - run: npm install --no-save railgate@${VERSION}
      - run: npx railgate test --coverage
      - run: npx railgate check --at-least railgate --settings settings.yaml
      - if: github.ref == 'refs/heads/main'
        env:
          POLICY_KEY: \${{ secrets.POLICY_KEY }}
        run: |
          umask 077
          printf '%s\\n' "$POLICY_KEY" > policy-key.pem
          npx railgate bundle build -o bundle.tar.gz --sequence "$GITHUB_RUN_NUMBER" --signing-key policy-key.pem
          rm policy-key.pem
      - if: github.ref == 'refs/heads/main'
        uses: actions/upload-artifact@v5
        with:
          name: policy
          path: bundle.tar.gz
`;
