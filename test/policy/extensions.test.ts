// The example extension, built in: it adds its refusal by OPA and by WASM, and can take none away.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { bases, changed } from "./corpus.ts";
import { compileLaw, copyLaw, decideByOpa, type Decision, inDirectory, LAW, opa } from "./law.ts";

const EXAMPLES = [LAW, "examples/extensions"];
const risky = changed(bases.vm, {}, []);
const riskyAndWrong = changed(bases.vm, { "/request/workload/envelope/vm/hypervisor/type": "x" }, []);

test("the build and the decision need no extension", async (t) => {
  const [decision] = await decideByOpa([risky]);
  t.is(decision?.outcome, "accepted");
});

test("an extension adds its refusal to the others, in both evaluators", async (t) => {
  const law = await inDirectory(async (directory) => {
    copyLaw(directory);
    cpSync("examples/extensions", join(directory, "railgate/extensions"), { recursive: true });
    return compileLaw([directory]);
  });
  const inputs = [risky, riskyAndWrong, bases.container];
  const decisions = await decideByOpa(inputs, EXAMPLES);
  t.deepEqual(
    inputs.map((input) => law(input) as Decision),
    decisions,
  );
  t.deepEqual(
    decisions.map(({ refusals }) =>
      refusals.map(({ rule, code, pointer, params }) => ({ rule, code, pointer, params })),
    ),
    [
      [{ rule: "ACME-01", code: "acme_quota_exceeded", pointer: "/workload/risk", params: { tenant: "acme" } }],
      [
        { rule: "ACME-01", code: "acme_quota_exceeded", pointer: "/workload/risk", params: { tenant: "acme" } },
        {
          rule: "VM-01",
          code: "hypervisor_not_allowed",
          pointer: "/workload/envelope/vm/hypervisor/type",
          params: { hypervisor: "x" },
        },
      ],
      [],
    ],
  );
});

test("an extension written with the helpers of before decides as the example does", async (t) => {
  await inDirectory(async (directory) => {
    const old = readFileSync("examples/extensions/quota/quota.rego", "utf8").replace(
      "lib.refuse(rego.metadata.rule(), ",
      'lib.policy_denied("ACME-01", "acme_quota_exceeded", ',
    );
    t.true(old.includes("lib.policy_denied("));
    writeFileSync(join(directory, "quota.rego"), old);
    t.deepEqual(await decideByOpa([risky], [LAW, directory]), await decideByOpa([risky], EXAMPLES));
  });
});

test("an extension that asks for its own decision is refused by the compiler", async (t) => {
  await inDirectory(async (directory) => {
    writeFileSync(
      join(directory, "loop.rego"),
      'package railgate.extensions.loop\n\nrefusals contains 1 if data.railgate.admission.decision.outcome == "accepted"\n',
    );
    await t.throwsAsync(opa("check", "policy/railgate", directory), { message: /recursi/ });
  });
});
