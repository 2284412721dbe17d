// Everything in a cluster that brings pods, kind by kind and page by page.
import type { AuditedPage } from "../core/schema/audits.ts";
import type { Cluster } from "./cluster.ts";
import { pagesOf } from "./listing.ts";

const KINDS: readonly [kind: string, path: string][] = [
  ["Pod", "/api/v1/pods"],
  ["PodTemplate", "/api/v1/podtemplates"],
  ["ReplicationController", "/api/v1/replicationcontrollers"],
  ["Deployment", "/apis/apps/v1/deployments"],
  ["StatefulSet", "/apis/apps/v1/statefulsets"],
  ["DaemonSet", "/apis/apps/v1/daemonsets"],
  ["ReplicaSet", "/apis/apps/v1/replicasets"],
  ["Job", "/apis/batch/v1/jobs"],
  ["CronJob", "/apis/batch/v1/cronjobs"],
];

/** @throws ClusterError */
export async function* namespacesOf(cluster: Cluster): AsyncGenerator<readonly unknown[]> {
  for await (const { items } of pagesOf(cluster, "/api/v1/namespaces")) yield items;
}

/** @throws ClusterError */
export async function* workloadsOf(cluster: Cluster): AsyncGenerator<AuditedPage> {
  for (const [kind, path] of KINDS) for await (const { items } of pagesOf(cluster, path)) yield { kind, items };
}
