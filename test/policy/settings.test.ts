// An operator's settings and extensions leave the tests of the law green: those bring their own.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { inDirectory, opa } from "./law.ts";

const SHIPPED = "policy/railgate/settings/data.json";
const settings = (): any => JSON.parse(readFileSync(SHIPPED, "utf8"));

/** What an operator does to every kind of setting: a stricter trigger, an own list, other limits, a tenant. */
function changedSettings(): object {
  const changed = settings();
  changed.triggers.classification.internal = "vm";
  changed.triggers.risk.critical = "tee";
  changed.container.runtimes = { kata: true };
  changed.container.sandboxing_runtimes = {};
  changed.container.added_capabilities = {};
  changed.vm.hypervisors = { xen: true };
  changed.supply.issuers = { "https://ci.acme.example": true };
  changed.attestation.freshness_s = { vm: 1, tee: 1 };
  changed.attestation.forms.baseline = { token: true };
  changed.attestation.reattestation = { interval_min_s: 60, interval_max_s: 120 };
  changed.dependencies.critical.container = ["runtime", "dns"];
  changed.tenants = { acme: { jurisdictions: ["US"] } };
  changed.isolation.profiles.baseline = true;
  changed.authority.profiles.baseline = true;
  changed.authority.delegation_max = 0;
  for (const about of ["policy", "authority"]) changed.freshness[about].baseline = { limit_s: 1, grace_s: 1 };
  changed.partition.upstream_confirmation.baseline = true;
  changed.rails = { container: "hardware_isolated", container_sandboxed: "shared", vm: "shared", tee: "shared" };
  return changed;
}

test("the tests of the law pass under changed settings and with an extension", async (t) => {
  t.timeout(5 * 60_000);
  await inDirectory(async (directory) => {
    cpSync("policy", directory, { recursive: true });
    writeFileSync(join(directory, "railgate/settings/data.json"), JSON.stringify(changedSettings()));
    cpSync("examples/extensions/quota", join(directory, "railgate/extensions/quota"), { recursive: true });
    writeFileSync(
      join(directory, "railgate/extensions/quota/all.rego"),
      'package railgate.extensions.all\n\nrefusals contains "whatever it is"\n',
    );
    const output = await opa("test", "--timeout", "60s", "--bundle", directory);
    t.regex(output, /^PASS: (\d+)\/\1$/m);
  });
});
