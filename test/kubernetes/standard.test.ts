// Agreement with the published standard, check by check: what Kubernetes' own library says of its fixtures and of pods at random, at each level in each release.
import { readFileSync } from "node:fs";
import test from "ava";
import { buildInput, NO_TRUST } from "../../src/core/facts.ts";
import { digestOf } from "../../src/core/event.ts";
import { ManifestPart } from "../../src/core/kubernetes/manifest.ts";
import { podIn } from "../../src/core/kubernetes/objects.ts";
import { podFact } from "../../src/core/kubernetes/pod.ts";
import { DEFAULT_BUNDLE } from "../../src/node/open.ts";
import { loadBundle } from "../../src/policy/policy.ts";
import { containerRequest } from "../core/requests.ts";

/** Those from which on a check is another one, each with the one before it; all of them where asked for (CONTRIBUTING.md). */
const EDGES = [0, 7, 8, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37];
const RELEASES = process.env["RAILGATE_EVERY_RELEASE"] ? Array.from({ length: 38 }, (_, i) => i) : EDGES;
const LEVELS = ["baseline", "restricted"] as const;

interface Line {
  readonly pod: object;
  /** By level, for each set of checks that refuse: the releases in which they do. */
  readonly verdicts: Record<(typeof LEVELS)[number], { readonly [checks: string]: readonly string[] }>;
}

const lines = readFileSync(new URL("upstream/verdicts.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Line);

const policy = await loadBundle(DEFAULT_BUNDLE.bytes(), { keys: DEFAULT_BUNDLE.keys });
const snapshot = { age_s: null, snapshot_id: digestOf("") };
const context = { partition: { state: "connected" as const, since: null }, policy: snapshot, authority: snapshot };
const facts = { request: containerRequest(), nowMs: 0, caller: null, trust: NO_TRUST, workload: null, context };
const admission = buildInput(facts);

/** The checks of pod security that refuse, sorted and joined as upstream's are written down. */
function checksOf(pod: object, labels: { [name: string]: string }): string {
  const fact = podFact(podIn("Pod", ManifestPart.of(pod))!);
  const kubernetes = {
    review: { operation: "CREATE", kind: "Pod", subresource: "", user: "" },
    namespace: {
      name: "n",
      source: "review",
      seen_ms: 0,
      labels: { "railgate.dev/law": "off", ...labels },
      pattern: null,
    },
    pod: fact,
    origins: {},
    faults: [],
  };
  const { refusals } = policy.evaluate("railgate/kubernetes/decision", { ...admission, kubernetes }) as {
    refusals: { rule: string; modes: string[] }[];
  };
  const rules = refusals.filter(({ modes }) => modes.includes("deny")).map(({ rule }) => rule.replace("PSS-", ""));
  return [...new Set(rules)].sort().join(",");
}

/** `0-18`, `37`. */
function releasesIn(ranges: readonly string[]): number[] {
  return ranges.flatMap((range) => {
    const [from, to = from] = range.split("-").map(Number) as [number, number?];
    return Array.from({ length: to! - from + 1 }, (_, i) => from + i);
  });
}

for (const level of LEVELS) {
  test(`${level}: every pod in every release, check by check`, (t) => {
    let compared = 0;
    const differing: string[] = [];
    for (const { pod, verdicts } of lines)
      for (const [due, ranges] of Object.entries(verdicts[level]))
        for (const release of releasesIn(ranges).filter((each) => RELEASES.includes(each))) {
          const labels = {
            "pod-security.kubernetes.io/enforce": level,
            "pod-security.kubernetes.io/enforce-version": `v1.${release}`,
            "pod-security.kubernetes.io/warn": "privileged",
          };
          const found = checksOf(pod, labels);
          compared++;
          if (found !== due)
            differing.push(`v1.${release} ${JSON.stringify(pod)}: ${found || "nothing"}, not ${due || "nothing"}`);
        }
    t.deepEqual(differing.slice(0, 3), []);
    t.is(compared, lines.length * RELEASES.length);
  });
}

test("every check of both levels is among what refuses", (t) => {
  const sets = lines.flatMap(({ verdicts }) => LEVELS.flatMap((level) => Object.keys(verdicts[level])));
  const checks = new Set(sets.flatMap((set) => set.split(",")).filter(Boolean));
  t.deepEqual([...checks].sort(), [
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities_baseline",
    "capabilities_restricted",
    "hostNamespaces",
    "hostPathVolumes",
    "hostPorts",
    "hostProbesAndHostLifecycle",
    "privileged",
    "procMount",
    "procMount_restricted",
    "restrictedVolumes",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile_baseline",
    "seccompProfile_restricted",
    "sysctls",
    "windowsHostProcess",
  ]);
});

test("latest, and any release that is newer than known, is the newest that is known", (t) => {
  for (const { pod } of lines.slice(0, 50)) {
    const at = (version: string) =>
      checksOf(pod, {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": version,
      });
    t.is(at("latest"), at("v1.37"));
    t.is(at("v1.99"), at("v1.37"));
  }
});
