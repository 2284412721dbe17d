// OpenReports: a bounded view of an audit, one `Report` a namespace (openreports.io/v1alpha1). What is whole and signed is the evidence.
import type { AuditedObject } from "../core/schema/audits.ts";
import type { Cluster } from "./cluster.ts";

/** Of one report: an object of etcd holds 1.5 MB, and a result is a few hundred bytes. */
const RESULTS_MAX = 1000;
const MESSAGE_CHARS_MAX = 512;
const SEVERITIES = { deny: "high", warn: "medium", audit: "low" } as const;

interface Summary {
  pass: number;
  fail: number;
  warn: number;
  error: number;
  skip: number;
}

interface NamespaceReport {
  readonly results: object[];
  readonly summary: Summary;
  leftOut: number;
}

export class Reports {
  readonly #byNamespace = new Map<string, NamespaceReport>();
  readonly #nowMs: number;

  /** @param nowMs when the audit was made. */
  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  add({ kind, namespace, name, refusals }: AuditedObject): void {
    const report = this.#of(namespace);
    if (refusals.length === 0) report.summary.pass++;
    for (const { rule, modes = [], title, message, solution, pointer } of refusals) {
      const denied = modes.includes("deny");
      report.summary[denied ? "fail" : "warn"]++;
      if (report.results.length === RESULTS_MAX) {
        report.leftOut++;
        continue;
      }
      const mode = (["deny", "warn", "audit"] as const).find((each) => modes.includes(each)) ?? "audit";
      report.results.push({
        source: "railgate",
        policy: rule.startsWith("PSS-") ? "pod-security" : "railgate",
        rule,
        category: title,
        severity: SEVERITIES[mode],
        timestamp: { seconds: Math.floor(this.#nowMs / 1000), nanos: 0 },
        result: denied ? "fail" : "warn",
        scored: true,
        resources: [{ kind, namespace, name }],
        message: `${message} ${solution}`.slice(0, MESSAGE_CHARS_MAX),
        properties: { field: pointer, modes: modes.join(",") },
      });
    }
  }

  /** @param run the audit's correlation id, under which the evidence has all. @throws ClusterError */
  async write(cluster: Cluster, run: string): Promise<number> {
    for (const [namespace, { results, summary, leftOut }] of this.#byNamespace) {
      const path = `/apis/openreports.io/v1alpha1/namespaces/${encodeURIComponent(namespace)}/reports/railgate`;
      await cluster.apply(path, {
        apiVersion: "openreports.io/v1alpha1",
        kind: "Report",
        metadata: {
          name: "railgate",
          namespace,
          labels: { "app.kubernetes.io/managed-by": "railgate" },
          annotations: { "railgate.dev/audit": run, "railgate.dev/left-out": String(leftOut) },
        },
        source: "railgate",
        summary,
        results,
      });
    }
    return this.#byNamespace.size;
  }

  #of(namespace: string): NamespaceReport {
    let report = this.#byNamespace.get(namespace);
    if (report === undefined) {
      report = { results: [], summary: { pass: 0, fail: 0, warn: 0, error: 0, skip: 0 }, leftOut: 0 };
      this.#byNamespace.set(namespace, report);
    }
    return report;
  }
}
