// What a decision rested on: the pinned keys that verified its tokens, and the digests of what they verified. An event names it by its digest.
import { digestOf } from "../core/event.ts";
import { canonicalBytes } from "../core/json.ts";
import type { UsedKey } from "./keys.ts";

/** Something foreign that was verified, by the digest of its bytes as they were given. */
export type Material = {
  kind: "attestation_token" | "device_token" | "provenance_bundle" | "trusted_root";
  /** `sha256:<hex>` */
  digest: string;
};

/** Collects what the tokens of one request were verified with, and which of them held. */
export class Used {
  readonly #keys = new Map<string, UsedKey>();
  readonly #materials = new Map<string, Material>();

  key(key: UsedKey): void {
    this.#keys.set(`${key.issuer} ${key.thumbprint}`, key);
  }

  material(kind: Material["kind"], digest: string): void {
    this.#materials.set(`${kind} ${digest}`, { kind, digest });
  }

  get keys(): UsedKey[] {
    return [...this.#keys.values()];
  }

  get materials(): Material[] {
    return [...this.#materials.values()];
  }
}

/**
 * The authority material that decided, as canonical JSON, and its digest: a list of the pinned keys used, `{issuer, jwk}` by issuer
 * and thumbprint, and then of what they verified, `{digest, kind}` by kind and digest. With none, that of the empty list.
 */
export function authoritySnapshot(
  keys: readonly UsedKey[],
  materials: readonly Material[] = [],
): { bytes: Uint8Array; digest: string } {
  const bytes = canonicalBytes([
    ...inOrder(keys, ({ issuer, thumbprint }) => `${issuer} ${thumbprint}`).map(({ issuer, jwk }) => ({ issuer, jwk })),
    ...inOrder(materials, ({ kind, digest }) => `${kind} ${digest}`).map(({ kind, digest }) => ({ kind, digest })),
  ]);
  return { bytes, digest: digestOf(bytes) };
}

/** Each once. */
function inOrder<T>(values: readonly T[], nameOf: (value: T) => string): T[] {
  const byName = new Map(values.map((value) => [nameOf(value), value]));
  return [...byName.keys()].sort().map((name) => byName.get(name)!);
}
