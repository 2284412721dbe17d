// Bundles are verified on threads of their own: a P-384 chain takes milliseconds, in which others would wait for their decisions.
import { ThreadPool } from "../../threads/threads.ts";
import type { ProvenanceConfig, Verdict } from "./verify.ts";

/** What a thread is asked: to take up what is pinned, once; then bundles. */
export type BundleRequest = { readonly config: ProvenanceConfig } | { readonly bundle: Uint8Array };

/** Verdicts are kept by the bytes they are about, as many as fit a few megabytes. */
const KEPT_MAX = 4096;

export class BundlePool {
  readonly #threads = new ThreadPool<BundleRequest, Verdict | null>("./worker", import.meta.url);
  /** By digest, longest unused first. */
  readonly #verdicts = new Map<string, Promise<Verdict>>();
  readonly #ready: Promise<void>;

  /** Starts a thread at once, so that the first bundle does not wait for it. */
  constructor(config: ProvenanceConfig) {
    this.#ready = this.#threads.tell({ config });
    this.#ready.catch(() => {});
  }

  /** @param bytes asked for where the verdict is not known. */
  async verify(digest: string, bytes: () => Uint8Array): Promise<Verdict> {
    const known = this.#verdicts.get(digest);
    this.#verdicts.delete(digest);
    const verdict = known ?? this.#ask(bytes());
    this.#verdicts.set(digest, verdict);
    for (const oldest of this.#verdicts.keys()) {
      if (this.#verdicts.size <= KEPT_MAX) break;
      this.#verdicts.delete(oldest);
    }
    try {
      return await verdict;
    } catch {
      this.#verdicts.delete(digest);
      return { ok: false, step: "malformed", message: "the thread that verifies bundles failed" };
    }
  }

  async close(): Promise<void> {
    await this.#ready.catch(() => {});
    await this.#threads.close();
  }

  async #ask(bundle: Uint8Array): Promise<Verdict> {
    await this.#ready;
    return (await this.#threads.ask({ bundle }))!;
  }
}
