// Which artifacts an export holds, as its manifest lists them: those of events and those of many, in order of their digests.
import { digestOfHex } from "../../core/digest.ts";
import { canonicalJson } from "../../core/json.ts";
import type { ArtifactRows } from "./artifact-rows.ts";
import { commaSeparated } from "./json-text.ts";
import type { SharedArtifacts } from "./shared-artifacts.ts";
import { artifactPointer } from "./statements.ts";

/** To be asked when all artifacts are known. */
export class Listings {
  readonly #rows: ArtifactRows;
  readonly #shared: SharedArtifacts;

  constructor(rows: ArtifactRows, shared: SharedArtifacts) {
    this.#rows = rows;
    this.#shared = shared;
  }

  /** Every artifact, with the first event that it lies with; undefined where it is one of many's. */
  files(): Iterable<{ hex: string; sequence: number | undefined }> {
    return mergedRows(this.#rows.sorted(), this.#shared.all());
  }

  /** Pointers by kind, as canonical JSON. */
  *artifactsText(): Generator<string> {
    const kinds = new Set([...this.#shared.kinds, "decision"]);
    let first = true;
    yield "{";
    for (const kind of [...kinds].sort()) {
      const shared = this.#shared.ofKind(kind);
      // All that events point to, own artifacts and shared ones.
      const refs = kind === "decision" ? merged(this.#rows.sorted(), shared) : shared;
      yield `${first ? "" : ","}${canonicalJson(kind)}:[`;
      first = false;
      yield* commaSeparated(refs, (hex) => `"${artifactPointer(hex)}"`);
      yield "]";
    }
    yield "}";
  }

  /** Digests by path, as canonical JSON. @param named the files beside artifacts, but for the manifest. */
  *filesText(named: ReadonlyMap<string, { digest: string }>): Generator<string> {
    yield "{";
    yield* commaSeparated(this.#listed(named), ([name, digest]) => `"${name}":"${digest}"`);
    yield "}";
  }

  /** In order of names. */
  *#listed(named: ReadonlyMap<string, { digest: string }>): Generator<[name: string, digest: string]> {
    for (const { hex } of this.files()) yield [`artifacts/${hex}`, digestOfHex(hex)];
    for (const name of [...named.keys()].sort()) yield [name, named.get(name)!.digest];
  }
}

/** Two sorted sequences as one, what is in both once. */
function* mergedRows(
  rows: Iterable<{ hex: string; sequence: number }>,
  shared: Iterable<string>,
): Generator<{ hex: string; sequence: number | undefined }> {
  const others = shared[Symbol.iterator]();
  let other = others.next();
  for (const row of rows) {
    for (; other.done !== true && other.value <= row.hex; other = others.next())
      if (other.value !== row.hex) yield { hex: other.value, sequence: undefined };
    yield row;
  }
  for (; other.done !== true; other = others.next()) yield { hex: other.value, sequence: undefined };
}

function* merged(rows: Iterable<{ hex: string; sequence: number }>, shared: Iterable<string>): Generator<string> {
  for (const { hex } of mergedRows(rows, shared)) yield hex;
}
