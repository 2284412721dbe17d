// What a cluster has, listed page by page, so that memory stays flat however much there is.
import type { Cluster } from "./cluster.ts";

const PAGE = 500;

export interface ListedPage {
  readonly items: readonly unknown[];
  readonly resourceVersion: string;
  /** How many are left, as the API server reckons. */
  readonly remaining: number;
}

interface ListAnswer {
  readonly items?: readonly unknown[];
  readonly metadata?: {
    readonly continue?: string;
    readonly resourceVersion?: string;
    readonly remainingItemCount?: number;
  };
}

/** @throws ClusterError */
export async function* pagesOf(cluster: Cluster, path: string): AsyncGenerator<ListedPage> {
  let next: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(PAGE), ...(next !== undefined && { continue: next }) });
    const { items = [], metadata = {} } = (await cluster.json(`${path}?${query}`)) as ListAnswer;
    yield { items, resourceVersion: metadata.resourceVersion ?? "", remaining: metadata.remainingItemCount ?? 0 };
    next = metadata.continue || undefined;
  } while (next !== undefined);
}
