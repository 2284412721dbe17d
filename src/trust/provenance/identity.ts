// Who may vouch, and for how much: the first of the operator's identities that matches counts.
import type { ProvenanceStep } from "../../core/schema/input.ts";
import { matchesGlob } from "./glob.ts";
import type { Signer } from "./signed.ts";
import { sourceOf, type SourceStatement } from "./statement.ts";
import { StepError } from "./steps.ts";

/** Each text is exact, or a pattern of `*` and `**`; what is absent is not asked for. */
export interface Identity {
  readonly issuer: string;
  readonly subject: string;
  readonly builder?: string | undefined;
  readonly source?: string | undefined;
  readonly build_types?: readonly string[] | undefined;
  /** The SLSA build level that this signer's provenance counts for. */
  readonly level: number;
}

/** What is compared, in this order: the first that differs is the step at fault. */
const COMPARED: readonly [
  step: ProvenanceStep,
  holds: (identity: Identity, signer: Signer, statement: SourceStatement) => boolean,
][] = [
  [
    "identity",
    ({ issuer, subject }, signer) => matchesGlob(issuer, signer.issuer) && matchesGlob(subject, signer.subject),
  ],
  ["builder", ({ builder }, _, said) => builder === undefined || matchesGlob(builder, said.builder)],
  ["source", ({ source }, signer, said) => source === undefined || isFrom(source, sourcesOf(signer, said))],
  ["build_type", ({ build_types }, _, { buildType }) => build_types === undefined || isOf(build_types, buildType)],
];

const WORDS: { readonly [step: string]: string } = {
  identity: "no pinned identity is its issuer and subject",
  builder: "no pinned identity of its signer is for its builder",
  source: "no pinned identity of its signer is for its source",
  build_type: "no pinned identity of its signer is for its build type",
};

/** @throws StepError `identity`, `builder`, `source`, `build_type`: how far the nearest identity came. */
export function identify(identities: readonly Identity[], signer: Signer, statement: SourceStatement): Identity {
  let furthest = 0;
  for (const identity of identities) {
    const failed = COMPARED.findIndex(([, holds]) => !holds(identity, signer, statement));
    if (failed === -1) return identity;
    furthest = Math.max(furthest, failed);
  }
  const [step] = COMPARED[furthest]!;
  throw new StepError(step, WORDS[step]!);
}

/** All that is known of where it comes from: what it says itself, and what its signer's certificate does. */
export function sourcesOf({ repository }: Signer, { sources, ofBuild }: SourceStatement): readonly string[] {
  return repository === null || !ofBuild ? sources : [...new Set([...sources, sourceOf(repository)])];
}

/** One that names another repository is of that one, too. */
const isFrom = (pattern: string, sources: readonly string[]): boolean =>
  sources.length > 0 && sources.every((source) => matchesGlob(pattern, source));

const isOf = (patterns: readonly string[], buildType: string | null): boolean =>
  buildType !== null && patterns.some((pattern) => matchesGlob(pattern, buildType));
