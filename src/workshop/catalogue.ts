// The catalogue: what each code means, for all rules that refuse by it. It is part of the bundle, and hosts explain refusals from it.
import { PolicyError, type Rule } from "./annotations.ts";

/** A code, explained, as it stands in `data.railgate.catalogue`. */
export interface CatalogueText {
  class: string;
  http_status: number;
  title: string;
  message: string;
  solution: string;
  source: string;
  rules: string[];
}

export const HOST_PACKAGE = "railgate.refusal.host";
const EXTENSIONS = "railgate.extensions.";

/** Whether a package (without `data.`) is, or lies below, an extension. */
export const isExtension = (name: string) => name.startsWith(EXTENSIONS);

/**
 * code → its row, by code.
 * @throws PolicyError where rules share a code but not its class, message, solution and status (what the host says has the last
 *   word), and where an extension uses a code or an id that is not its own.
 */
export function catalogueOf(rules: readonly Rule[]): Record<string, CatalogueText> {
  const taken = [...takenIds(rules)];
  if (taken.length > 0) throw new PolicyError(taken);
  const rows = [...Map.groupBy(rules, ({ code }) => code)].map(
    ([code, sharing]) => [code, rowOf(code, sharing)] as const,
  );
  return Object.fromEntries(rows.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function rowOf(code: string, sharing: readonly Rule[]): CatalogueText {
  const extension = sharing.find((rule) => isExtension(rule.package));
  if (extension && sharing.some((rule) => rule.package !== extension.package))
    throw faultAt(
      extension,
      `the code ${code} of ${extension.rule} is taken; an extension needs codes of its own, such as acme_${code}`,
    );
  const words = sharing.find((rule) => rule.package === HOST_PACKAGE) ?? sharing[0]!;
  const differing = sharing.find(
    (rule) =>
      rule.class !== words.class ||
      rule.httpStatus !== words.httpStatus ||
      (words.package !== HOST_PACKAGE && (rule.message !== words.message || rule.solution !== words.solution)),
  );
  if (differing)
    throw faultAt(
      differing,
      `${differing.rule} shares the code ${code} with ${words.rule}, so class, message, solution and http_status must be the same`,
    );
  const oneTitle = words.package === HOST_PACKAGE || sharing.every(({ title }) => title === words.title);
  const { class: refusalClass, httpStatus, message, solution, source } = words;
  return {
    class: refusalClass,
    http_status: httpStatus,
    title: oneTitle ? words.title : titleOf(code),
    message,
    solution,
    source,
    rules: [...new Set(sharing.map(({ rule }) => rule))].sort(),
  };
}

/** An exception names rules by their id, so an extension's must not be another package's. */
function* takenIds(rules: readonly Rule[]) {
  for (const [id, sharing] of Map.groupBy(rules, ({ rule }) => rule)) {
    const extension = sharing.find((rule) => isExtension(rule.package));
    const other = sharing.find((rule) => rule.package !== extension?.package);
    if (extension && other)
      yield {
        file: extension.file,
        line: extension.row,
        message: `the rule id ${id} is that of ${other.file}; an extension needs ids of its own`,
      };
  }
}

const faultAt = ({ file, row }: Rule, message: string) => new PolicyError([{ file, line: row, message }]);

/** For a code that several rules explain each in their own words: `ERR_MESH_INVALID_TOPOLOGY` → `Mesh invalid topology`. */
function titleOf(code: string): string {
  const words = code.replace(/^ERR_/, "").toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
