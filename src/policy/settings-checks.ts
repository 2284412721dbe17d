// Whether a policy can do with its settings: by the JSON Schema in its manifest, if there is one, and by what it evaluates to. In browsers too.
import { BundleError } from "../core/errors.ts";
import { BuiltinError, HaltError } from "./builtins/errors.ts";
import { faultsOf } from "./builtins/schema-check.ts";
import { compileSchema } from "./builtins/schema-compile.ts";
import { parseJson } from "./builtins/text.ts";
import { EvaluationError, type Evaluator } from "./evaluator.ts";

const NOTHING = new TextEncoder().encode("{}");
/** Where it stands. */
const SETTINGS_SCHEMA = "metadata.railgate.settings_schema";

/**
 * Makes sure of settings as policies would see them.
 * @param schema of `data.railgate.settings`, drafts 4, 6 and 7. @param settings with an operator's own laid on.
 * @throws BundleError `settings`, with the pointer at fault; `manifest` where it is no schema.
 */
export function requireSettings(schema: unknown, settings: unknown): void {
  const [fault] = checked(schema, settings ?? {});
  if (fault === undefined) return;
  const at = fault.field === "(Root)" ? "" : pointerTo(settings, fault.field);
  throw new BundleError(
    "settings",
    `${at} ${fault.description} (${SETTINGS_SCHEMA} of the bundle); change railgate.settings`.trimStart(),
  );
}

/**
 * Has a policy evaluate an input with nothing in it, with the settings that are laid over its own.
 * @param withoutThem it, as it is without. @throws BundleError `settings` where it fails, and does not without.
 */
export async function trySettings(evaluator: Evaluator, withoutThem: () => Promise<Evaluator>): Promise<void> {
  const failing = evaluator.entrypoints.flatMap((entrypoint) => {
    const message = failureOf(evaluator, entrypoint);
    return message === undefined ? [] : [{ entrypoint, message }];
  });
  if (failing.length === 0) return;
  const bare = await withoutThem();
  const theirs = failing.find(({ entrypoint }) => failureOf(bare, entrypoint) === undefined);
  if (theirs !== undefined)
    throw new BundleError(
      "settings",
      `with these settings the policy fails, and without it does not: ${theirs.message}; change railgate.settings`,
    );
}

/** undefined: it comes to something, or to nothing, but does not fail. */
function failureOf(evaluator: Evaluator, entrypoint: string): string | undefined {
  try {
    evaluator.evaluateExactly(entrypoint, NOTHING);
    return undefined;
  } catch (error) {
    // What only takes long does so on this machine, now.
    return error instanceof EvaluationError && error.thrown !== undefined ? error.message : undefined;
  }
}

function checked(schema: unknown, settings: unknown) {
  try {
    return faultsOf(compileSchema(parseJson(JSON.stringify(schema))), parseJson(JSON.stringify(settings)));
  } catch (cause) {
    if (!(cause instanceof BuiltinError || cause instanceof HaltError)) throw cause;
    throw new BundleError("manifest", `${SETTINGS_SCHEMA} in the bundle's manifest: ${cause.message}`, { cause });
  }
}

/** RFC 6901, for names with dots between: which of the dots divide names, the settings tell. */
function pointerTo(value: unknown, field: string): string {
  const names = typeof value === "object" && value !== null ? Object.keys(value) : [];
  const name = names.filter((each) => field === each || field.startsWith(`${each}.`)).sort(longestFirst)[0] ?? field;
  const below = field.slice(name.length + 1);
  const here = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  return below === "" ? here : here + pointerTo((value as { [name: string]: unknown })[name], below);
}

const longestFirst = (a: string, b: string): number => b.length - a.length;
