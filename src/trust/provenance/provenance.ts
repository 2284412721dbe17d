// Where the artifacts of a request come from: what the bundles that it brings, and those that are kept, prove. Facts for the law.
import type { ProvenanceFact } from "../../core/schema/input.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import {
  artifactsOf,
  rejectedProvenance,
  sealBundle,
  type NamedArtifact,
  type ProvenanceFacts,
  type SealedBundle,
} from "../../core/provenance.ts";
import type { Blob, StateWrite } from "../../store/store.ts";
import type { Used } from "../snapshot.ts";
import { BundlePool } from "./pool.ts";
import type { Root } from "./root.ts";
import { keeping, type BundleStore } from "./store.ts";
import type { ProvenanceConfig, BundleProof, Verdict } from "./verify.ts";

/** What was found out of one request. */
export interface ProvenanceFound {
  readonly facts: ProvenanceFacts;
  /** Bundles that were judged and the root they were judged by, to lie with the evidence. */
  readonly blobs: readonly Blob[];
  /** What is kept of them for whoever names their artifact later. */
  readonly states: readonly StateWrite[];
}

export interface Provenance {
  /** Null, at once, where there is nothing to be found out. @throws EvidenceUnavailableError the store cannot be read. */
  find(request: AdmissionRequest, nowMs: number, used: Used): Promise<ProvenanceFound> | null;
  /** One bundle, whatever its artifact. */
  verify(bundle: SealedBundle): Promise<Verdict>;
  /** Whether bundles are kept. */
  readonly keeps: boolean;
  close(): Promise<void>;
}

const UNPINNED: Verdict = { ok: false, step: "unpinned", message: "no trusted root is pinned on this node" };

/** @throws ConfigError naming the setting. */
export async function makeProvenance(
  config: ProvenanceConfig | undefined,
  kept: BundleStore | undefined,
): Promise<Provenance> {
  if (config === undefined) return { ...unpinned, keeps: false };
  // Some sixty modules of others, and nobody else needs them.
  const { makeVerifier } = await import("./verify.ts");
  const { root } = makeVerifier(config);
  const finder = new Finder(config, root, kept);
  return {
    find: (request, nowMs, used) => finder.find(request, nowMs, used),
    verify: (bundle) => finder.verify(bundle),
    keeps: config.store,
    close: () => finder.close(),
  };
}

const unpinned: Omit<Provenance, "keeps"> = {
  find: (request) => {
    const brought = bring(artifactsOf(request));
    if (brought.size === 0) return null;
    const facts = new Map([...brought.keys()].map((digest) => [digest, rejectedProvenance("unpinned")]));
    return Promise.resolve({ facts, blobs: allOf(brought), states: [] });
  },
  verify: () => Promise.resolve(UNPINNED),
  close: () => Promise.resolve(),
};

/** By the digest of the artifact: the bundles that the request brings for it. */
function bring(artifacts: readonly NamedArtifact[]): Map<string, SealedBundle[]> {
  const brought = new Map<string, SealedBundle[]>();
  for (const { digest, provenance } of artifacts) {
    if (!provenance?.bundles?.length) continue;
    const at = digest ?? "";
    brought.set(at, [...(brought.get(at) ?? []), ...provenance.bundles.map(sealBundle)]);
  }
  return brought;
}

const allOf = (brought: ReadonlyMap<string, readonly SealedBundle[]>): SealedBundle[] => [...brought.values()].flat();

class Finder {
  readonly #config: ProvenanceConfig;
  readonly #root: Root;
  readonly #kept: BundleStore | undefined;
  readonly #pool: BundlePool;
  /** What is under way, and needs the threads. */
  readonly #running = new Set<Promise<unknown>>();

  constructor(config: ProvenanceConfig, root: Root, kept: BundleStore | undefined) {
    this.#config = config;
    this.#root = root;
    this.#kept = kept;
    this.#pool = new BundlePool(config);
  }

  verify({ digest, bytes }: SealedBundle): Promise<Verdict> {
    return this.#run(this.#pool.verify(digest, () => bytes));
  }

  /** Once what is under way is done; nothing may be asked any more. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#pool.close();
  }

  #run<T>(work: Promise<T>): Promise<T> {
    const done = work.finally(() => this.#running.delete(done));
    this.#running.add(done);
    return done;
  }

  find(request: AdmissionRequest, nowMs: number, used: Used): Promise<ProvenanceFound> | null {
    const artifacts = artifactsOf(request);
    const brought = bring(artifacts);
    const others = artifacts.flatMap(({ digest }) => (digest === null || brought.has(digest) ? [] : [digest]));
    if (brought.size === 0 && (others.length === 0 || this.#kept === undefined)) return null;
    return this.#run(this.#find(brought, new Set(others), nowMs, used));
  }

  async #find(
    brought: ReadonlyMap<string, readonly SealedBundle[]>,
    others: ReadonlySet<string>,
    nowMs: number,
    used: Used,
  ): Promise<ProvenanceFound> {
    const facts = new Map<string, ProvenanceFact>();
    const blobs: Blob[] = [];
    const states: StateWrite[] = [];
    await Promise.all([
      ...[...brought].map(async ([digest, bundles]) => {
        const { fact, proven } = await this.#judge(digest, bundles, nowMs);
        facts.set(digest, fact);
        blobs.push(...bundles);
        if (proven && this.#config.store)
          states.push(...bundles.map((bundle) => keeping(digest, bundle.digest, nowMs)));
      }),
      ...[...others].map(async (digest) => {
        const good = await this.#stored(digest, nowMs);
        if (good === undefined) return;
        facts.set(digest, good.fact);
        blobs.push(good.bundle);
      }),
    ]);
    if (facts.size === 0) return { facts, blobs, states };
    for (const { digest } of blobs) used.material("provenance_bundle", digest);
    used.material("trusted_root", this.#root.digest);
    return { facts, blobs: [...blobs, { digest: this.#root.digest, bytes: this.#config.trustedRoot }], states };
  }

  /** All that a request brings for an artifact must hold: a bad one is not outweighed. The one that counts for most counts. */
  async #judge(
    digest: string,
    bundles: readonly SealedBundle[],
    nowMs: number,
  ): Promise<{ fact: ProvenanceFact; proven: boolean }> {
    const verdicts = await Promise.all(bundles.map((bundle) => this.verify(bundle)));
    let best: BundleProof | undefined;
    for (const verdict of verdicts) {
      if (!verdict.ok) return { fact: rejectedProvenance(verdict.step), proven: false };
      if (!verdict.proven.subjects.includes(digest)) return { fact: rejectedProvenance("subject"), proven: false };
      if (best === undefined || verdict.proven.level > best.level) best = verdict.proven;
    }
    return { fact: this.#verified(best!, nowMs), proven: true };
  }

  /** Of what is kept, what no longer holds is passed over: its signer may have been let go since. */
  async #stored(digest: string, nowMs: number): Promise<{ fact: ProvenanceFact; bundle: Blob } | undefined> {
    let best: { proven: BundleProof; bundle: Blob } | undefined;
    for (const bundle of await this.#kept!.bundlesOf(digest)) {
      const verdict = await this.#pool.verify(bundle.digest, () => bundle.bytes);
      if (!verdict.ok || !verdict.proven.subjects.includes(digest)) continue;
      if (best === undefined || verdict.proven.level > best.proven.level) best = { proven: verdict.proven, bundle };
    }
    return best && { fact: this.#verified(best.proven, nowMs), bundle: best.bundle };
  }

  #verified(proven: BundleProof, nowMs: number): ProvenanceFact {
    const { issuer, subject, builder, source, predicate_type, level, signed_at_ms } = proven;
    return {
      status: "verified",
      error: null,
      issuer,
      subject,
      builder,
      source,
      predicate_type,
      level,
      signed_at_ms,
      trusted_root_age_s: Math.max(0, Math.floor((nowMs - this.#root.newestMs) / 1000)),
    };
  }
}
