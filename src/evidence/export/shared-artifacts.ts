// Artifacts that few of an export's files are: bundles, settings, authority material, configured files, documents about snapshots.
import { readFileSync } from "node:fs";
import { EMPTY_SNAPSHOT, hexOfDigest } from "../../core/digest.ts";
import { digestOf } from "../../core/event.ts";
import type { StoreReader } from "../../store/store.ts";
import type { Snapshots } from "./range-rows.ts";
import { provenanceIn, snapshotDocument } from "./statements.ts";

export interface SharedArtifact {
  readonly size: number;
  read(): Promise<Uint8Array>;
}

export class SharedArtifacts {
  readonly #store: StoreReader;
  /** By hex digest. */
  readonly #artifacts = new Map<string, SharedArtifact>();
  readonly #kinds = new Map<string, Set<string>>();
  readonly #missing = new Set<string>();
  readonly #snapshots = { policy: new Set<string>(), authority: new Set<string>() };
  readonly #settings = new Set<string>();

  constructor(store: StoreReader) {
    this.#store = store;
  }

  /** What was asked for and is not there, in words. */
  get missing(): readonly string[] {
    return [...this.#missing];
  }

  get(hex: string): SharedArtifact {
    return this.#artifacts.get(hex)!;
  }

  /** Hex digests, in order. */
  all(): string[] {
    return [...this.#artifacts.keys()].sort();
  }

  get kinds(): ReadonlySet<string> {
    return new Set(this.#kinds.keys());
  }

  /** Hex digests, in order. */
  ofKind(kind: string): string[] {
    return [...(this.#kinds.get(kind) ?? [])].sort();
  }

  lack(what: string): void {
    this.#missing.add(what);
  }

  /** What decided, and what it was decided by. */
  async shareSnapshots({ policy, authority, settings }: Snapshots): Promise<void> {
    const known =
      this.#snapshots.policy.has(policy) &&
      this.#snapshots.authority.has(authority) &&
      (settings === null || this.#settings.has(settings));
    if (known) return;
    this.#snapshots.policy.add(policy);
    const isNew = !this.#snapshots.authority.has(authority);
    this.#snapshots.authority.add(authority);
    if (policy !== EMPTY_SNAPSHOT && !(await this.share("policy_bundle", policy)))
      this.lack(`the policy bundle ${policy}`);
    if (authority !== EMPTY_SNAPSHOT && !(await this.share("authority", authority)))
      this.lack(`the authority material ${authority}`);
    if (isNew) await this.#shareProvenance(authority);
    if (settings === null) return;
    this.#settings.add(settings);
    if (!(await this.share("settings", settings))) this.lack(`the settings ${settings}`);
  }

  /** Bundles, and the root that they were verified by: an auditor needs nothing else to verify them again. */
  async #shareProvenance(snapshotId: string): Promise<void> {
    const bytes = await this.#store.artifact(snapshotId);
    for (const { kind, digest } of bytes === undefined ? [] : provenanceIn(bytes))
      if (!(await this.share(kind, digest))) this.lack(`the ${kind} ${digest}`);
  }

  /** @returns false where the store does not have it. */
  async share(kind: string, digest: string): Promise<boolean> {
    const hex = hexOfDigest(digest);
    if (!this.#artifacts.has(hex)) {
      const bytes = await this.#store.artifact(digest);
      if (!bytes) return false;
      if (digestOf(bytes) !== digest) this.lack(`the artifact ${digest}, which is damaged`);
      this.#artifacts.set(hex, {
        size: bytes.length,
        read: async () => (await this.#store.artifact(digest)) ?? new Uint8Array(0),
      });
    }
    this.#isOfKind(kind, hex);
    return true;
  }

  /** Artifacts that no decision brings: files by kind. */
  shareFiles(files: { readonly [kind: string]: readonly string[] }): void {
    for (const [kind, paths] of Object.entries(files)) {
      for (const path of paths) {
        try {
          this.#hold(kind, readFileSync(path));
        } catch (error) {
          this.lack(`the ${kind} artifact ${path} (${(error as NodeJS.ErrnoException).code})`);
        }
      }
    }
  }

  /** A document for each snapshot that events named. */
  shareDocuments(): void {
    for (const member of ["policy", "authority"] as const)
      for (const id of this.#snapshots[member])
        this.#hold(member === "policy" ? "policy_snapshots" : "authority_bindings", snapshotDocument(member, id));
  }

  #hold(kind: string, bytes: Uint8Array): void {
    const hex = hexOfDigest(digestOf(bytes));
    this.#artifacts.set(hex, { size: bytes.length, read: async () => bytes });
    this.#isOfKind(kind, hex);
  }

  #isOfKind(kind: string, hex: string): void {
    const known = this.#kinds.get(kind);
    if (known) known.add(hex);
    else this.#kinds.set(kind, new Set([hex]));
  }
}
