// A faulty extension does not get as far as a bundle: each fault is told with file and line, and nothing else.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "ava";
import { readAnnotations } from "../../src/workshop/annotations.ts";
import { catalogueOf } from "../../src/workshop/catalogue.ts";
import { extensionFindings } from "../../src/workshop/extensions.ts";
import { PolicyReader } from "../../src/workshop/reader.ts";
import { copyLaw, inDirectory, opa } from "./law.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const QUOTA = "examples/extensions/quota/quota.rego";
const example = readFileSync(QUOTA, "utf8");

/** The example with one fault, and what is said of it: lines count in the file as it is then. */
const FAULTS: Record<string, { wrong: [string | RegExp, string][]; said: string[] }> = {
  no_metadata: {
    wrong: [[/# METADATA\n(?:#.*\n)+/, ""]],
    said: ["6: refusals asks for its METADATA, and there is none in front of it"],
  },
  misspelt_mark: {
    wrong: [["# METADATA", "# METDATA"]],
    said: [
      "6: `# METDATA` is a remark; did you mean `# METADATA`?",
      "17: refusals asks for its METADATA, and there is none in front of it",
    ],
  },
  misspelt_member: {
    wrong: [["mess" + "age:", "mesage:"]],
    said: ["6: METADATA has no custom.message", "14: METADATA has no custom member mesage; did you mean message?"],
  },
  no_code: { wrong: [["#   code: acme_quota_exceeded\n", ""]], said: ["6: METADATA has no custom.code"] },
  no_title: { wrong: [["# title:", "# titel:"]], said: ["6: METADATA has no title"] },
  no_class: {
    wrong: [["class: policy_denied", "class: policy_denid"]],
    said: ["12: policy_denid is no class of refusals; there are policy_denied, "],
  },
  no_status: {
    wrong: [["#   short_name", "#   http_status: 400\n#   short_name"]],
    said: ["13: http_status 400 is none that a refusal has; there are "],
  },
  text: {
    wrong: [[/refusals contains .* if/, 'refusals contains "no quota" if']],
    said: ["17: it refuses with a string, which no host recognises; a refusal is what lib.refuse("],
  },
  text_by_name: {
    wrong: [
      [
        /refusals contains .* if \{/,
        'refusals contains why if {\n\tsaid := sprintf("no quota for %v", [1])\n\twhy := said',
      ],
    ],
    said: ["17: it refuses with what sprintf gives, which no host recognises"],
  },
  half_an_object: {
    wrong: [[/refusals contains .* if/, 'refusals contains {"code": "acme_quota_exceeded"} if']],
    said: ["17: it refuses with an object of code; a refusal is what"],
  },
  unexplained_code: {
    wrong: [[/lib\.refuse\(rego\.metadata\.rule\(\), /, 'lib.policy_denied("ACME-01", "acme_quota_exceded", ']],
    said: ["17: no METADATA explains the code acme_quota_exceded, so the host would not recognise it"],
  },
  placeholder: {
    wrong: [["Tenant {tenant} has", "Tenant {tenat} has"]],
    said: ["14: the message names {tenat}, and params has only tenant"],
  },
  placeholder_of_a_function: {
    wrong: [
      ["Ask for a quota", "Ask {owner} for a quota"],
      [
        /refusals contains .* if \{/,
        'exceeded(location, params) := lib.refuse(rego.metadata.rule(), location, params)\n\nrefusals contains exceeded("/workload/risk", params) if {',
      ],
    ],
    said: ["15: the solution names {owner}, and params has only tenant"],
  },
  nothing_refused: {
    wrong: [["refusals contains", "refusal contains"]],
    said: ["1: railgate.extensions.nothing_refused has no rule `refusals contains …`, so it refuses nothing"],
  },
};

test("each fault of an extension is told with its line", async (t) => {
  await inDirectory(async (directory) => {
    const expected = Object.entries(FAULTS).flatMap(([name, { wrong, said }]) => {
      let text = example.replace("package railgate.extensions.quota", `package railgate.extensions.${name}`);
      for (const [from, to] of wrong) {
        const changed = text.replace(from, to);
        t.not(changed, text, name);
        text = changed;
      }
      const file = write(directory, `railgate/extensions/${name}/${name}.rego`, text);
      return said.map((each) => `${file}:${each}`);
    });
    const { faults } = await extensionFindings(await readAnnotations(directory));
    const lines = faults.map(({ file, line, message }) => `${file}:${line}: ${message}`);
    t.is(lines.length, expected.length, lines.join("\n"));
    for (const line of expected)
      t.true(
        lines.some((each) => each.startsWith(line)),
        `${line}\n${lines.join("\n")}`,
      );
  });
});

test("a package that nothing would ask is told", async (t) => {
  await inDirectory(async (directory) => {
    const packaged = (name: string) =>
      write(
        directory,
        `${name.replaceAll(".", "/")}/x.rego`,
        example.replace("package railgate.extensions.quota", `package ${name}`),
      );
    const nameless = packaged("railgate.extensions");
    const misspelt = packaged("railgate.extension.quota");
    const deep = packaged("railgate.extensions.acme.quota");
    const { faults } = await extensionFindings(await readAnnotations(directory));
    t.deepEqual(
      faults.map(({ file, message }) => [file, message]),
      [
        [misspelt, "nothing asks package railgate.extension.quota; did you mean railgate.extensions.quota?"],
        [deep, "nothing asks railgate.extensions.acme.quota, which lies below an extension: move its refusals up"],
        [nameless, "an extension needs a name of its own: package railgate.extensions.<name>"],
      ],
    );
  });
});

test("codes and ids of others are taken, and the example has its own", async (t) => {
  await inDirectory(async (directory) => {
    copyLaw(directory, { tests: false });
    const reader = new PolicyReader(directory);
    const file = join(directory, "railgate/extensions/quota/quota.rego");
    const catalogued = async (text: string) => {
      write(directory, "railgate/extensions/quota/quota.rego", text);
      const annotations = await reader.annotations();
      t.deepEqual(await extensionFindings(annotations), { faults: [], deprecations: [] });
      return catalogueOf(annotations.rules);
    };
    t.is((await catalogued(example))["acme_quota_exceeded"]?.title, "The tenant's quota is used up");
    await t.throwsAsync(catalogued(example.replace("code: acme_quota_exceeded", "code: runtime_not_hardened")), {
      code: "policy_invalid",
      message: `${file}:17: the code runtime_not_hardened of ACME-01 is taken; an extension needs codes of its own, such as acme_runtime_not_hardened`,
    });
    await t.throwsAsync(catalogued(example.replace("rule: ACME-01", "rule: CTR-01")), {
      code: "policy_invalid",
      message: `${file}:17: the rule id CTR-01 is that of ${directory}/railgate/refusal/container/container.rego; an extension needs ids of its own`,
    });
  });
});

test("`generate` and `bundle` end with file and line alone; a code that the catalogue lacks asks for `generate`", async (t) => {
  await inDirectory(async (directory) => {
    const policy = join(directory, "policy");
    cpSync("policy", policy, { recursive: true });
    const file = "policy/railgate/extensions/quota/quota.rego";
    const run = (script: string) => {
      const { status, stderr } = spawnSync(process.execPath, [join(ROOT, "scripts", script)], {
        cwd: directory,
        encoding: "utf8",
      });
      return [status, stderr.trimEnd()];
    };
    write(directory, file, example.replace("{tenant}", "{tenat}"));
    const said = `${file}:14: the message names {tenat}, and params has only tenant`;
    t.deepEqual(run("generate.ts"), [1, said]);
    t.deepEqual(run("bundle.ts"), [1, said]);
    write(directory, file, example);
    t.deepEqual(run("bundle.ts"), [
      1,
      `${file}:17: the catalogue has no code acme_quota_exceeded; run \`npm run generate\``,
    ]);
    write(directory, file, example.replace("# title:", "# title: a:"));
    const [status, stderr] = run("generate.ts");
    t.is(status, 1);
    t.regex(stderr as string, /^opa inspect: .*quota\.rego:7: rego_parse_error: yaml/);
    t.notRegex(stderr as string, /\n\s+at /);
  });
});

test("the example's own test passes where it is put", async (t) => {
  await inDirectory(async (directory) => {
    copyLaw(directory, { tests: false });
    cpSync("examples/extensions", join(directory, "railgate/extensions"), { recursive: true });
    const args = ["test", "--bundle", directory, "--run", "railgate.extensions"];
    t.regex(await opa(...args), /^PASS: (\d)\/\1$/m);
    const report = JSON.parse(await opa(...args, "--coverage")) as { files: Record<string, { coverage: number }> };
    t.is(report.files[join(directory, "railgate/extensions/quota/quota.rego")]?.coverage, 100);
  });
});

function write(directory: string, name: string, text: string): string {
  const file = join(directory, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}
