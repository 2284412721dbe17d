// Which rules fired on a request, on what, and which nearly did: the policy itself is asked, compiled with rules that tell.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ADMISSION } from "../gate/commands/admission.ts";
import type { PolicyDecision, Refusal } from "../core/schema/decision.ts";
import { readBundleFiles } from "../policy/bundle-files.ts";
import type { Evaluator } from "../policy/evaluator.ts";
import { PolicyError, type Annotations, type Rule } from "./annotations.ts";
import { checkPolicies, compile } from "./build.ts";
import { isExtension } from "./catalogue.ts";
import type { JoinedPolicies } from "./folder.ts";
import { instrument, TRIED, WHOLE, type Instrumented } from "./instrument.ts";
import { PolicyReader } from "./reader.ts";
import { refusalText, sensitiveTo } from "./sensitivity.ts";

/** A rule that refused: where it stands, and the members of the request without which, or with other values, it would not so. */
export interface Fired {
  readonly rule: string;
  readonly code: string;
  readonly file: string;
  readonly line: number;
  /** By RFC 6901 pointer, relative to the request; facts and context of the host under `/facts` and `/context`. */
  readonly values: { readonly [pointer: string]: unknown };
}

/** A rule of which all conditions hold but one. */
export interface Nearly {
  readonly rule: string;
  readonly code: string;
  readonly file: string;
  readonly line: number;
  readonly because: string;
}

export interface WhyDecided {
  readonly fired: readonly Fired[];
  readonly nearly: readonly Nearly[];
}

const EXPLAINED = "railgate/workshop/tried";
/** Of the law's, by subject as the law asks them; of extensions, all. */
const TELLING = `package railgate.workshop

# METADATA
# entrypoint: true
tried := {"law": law, "extensions": extensions}

law[subject] contains t if {
	some subject in data.railgate.admission.asked
	some t in data.railgate.refusal[subject].${TRIED}
}

extensions[name] contains t if some t in data.railgate.extensions[name].${TRIED}
`;
const ADDED = "railgate/workshop";
const ROUNDS_MAX = 4;

type Tried = {
  readonly body: number;
  readonly without: number | typeof WHOLE;
  readonly refusal: Partial<Refusal> | null;
};
type Told = Readonly<Record<"law" | "extensions", { readonly [name: string]: readonly Tried[] }>>;

/** Policies compiled so that they tell. */
export interface Telling {
  readonly wasm: Uint8Array;
  readonly annotations: Annotations;
  readonly modules: readonly Instrumented[];
}

/** Compiles joined policies with what tells of them; what did not change since the last time is not looked at again. */
export class TellingCompiler {
  readonly #policies: JoinedPolicies;
  readonly #reader: PolicyReader;
  /** Variants that say nothing without the condition left out: it binds what the rest needs. */
  readonly #unsafe = new Set<string>();

  constructor(policies: JoinedPolicies) {
    this.#policies = policies;
    this.#reader = new PolicyReader(policies.directory);
  }

  /** @throws PolicyError what is wrong with the policies, by file and line. */
  async compile(): Promise<Telling> {
    try {
      const { annotations } = await checkPolicies(this.#policies, this.#reader);
      const modules = await this.#instrumented(annotations);
      for (let round = 1; ; round++) {
        const written = this.#write(modules);
        try {
          const files = await readBundleFiles(await compile(this.#policies.directory, [ADMISSION, EXPLAINED]));
          return { wasm: files.get("policy.wasm")!, annotations, modules };
        } catch (error) {
          if (round === ROUNDS_MAX || !this.#learn(error, written)) throw error;
        } finally {
          rmSync(join(this.#policies.directory, ADDED), { recursive: true, force: true });
        }
      }
    } catch (error) {
      throw this.#policies.told(error);
    }
  }

  async #instrumented({ files, rules }: Annotations): Promise<Instrumented[]> {
    const found: Instrumented[] = [];
    for (const [name, members] of files) {
      const isLaw = name.startsWith("railgate.refusal.");
      if (!isLaw && !isExtension(name)) continue;
      for (const path of members) {
        const module = await this.#instrument(path, name, { rules, isLaw });
        if (module) found.push(module);
      }
    }
    return found;
  }

  async #instrument(path: string, name: string, law: { rules: readonly Rule[]; isLaw: boolean }) {
    if (!/\brefusals\b/.test(readFileSync(path, "utf8"))) return undefined;
    const file = path.slice(this.#policies.directory.length + 1);
    return instrument(await this.#reader.parse(path), file, name, law);
  }

  /** @returns by file and line, which variant stands there. */
  #write(modules: readonly Instrumented[]): Map<string, string> {
    const places = new Map<string, string>();
    const write = (file: string, text: string) => {
      const path = join(this.#policies.directory, ADDED, file);
      writeFileSync(path, text);
    };
    mkdirSync(join(this.#policies.directory, ADDED));
    write("telling.rego", TELLING);
    modules.forEach((module, n) => {
      let text = `${module.head}\n`;
      for (const [key, rule] of module.variants) {
        if (this.#unsafe.has(rule)) continue;
        const from = text.split("\n").length + 1;
        text += `\n${rule}\n`;
        const to = text.split("\n").length;
        for (let line = from; line < to; line++)
          places.set(`${ADDED}/tried_${n}.rego:${line}`, key.endsWith(WHOLE) ? "" : rule);
      }
      write(`tried_${n}.rego`, text);
    });
    return places;
  }

  /** Whether something was learnt from what OPA said: which variants cannot be. */
  #learn(error: unknown, written: ReadonlyMap<string, string>): boolean {
    if (!(error instanceof PolicyError)) return false;
    const before = this.#unsafe.size;
    for (const [, place] of error.message.matchAll(
      /(railgate\/workshop\/tried_\d+\.rego:\d+): rego_unsafe_var_error/g,
    )) {
      const rule = written.get(place!);
      if (rule) this.#unsafe.add(rule);
    }
    return this.#unsafe.size > before;
  }
}

/** @param evaluator of the telling policies. @param input what was decided on, as JSON. */
export function explainDecision(
  evaluator: Evaluator,
  { modules, annotations }: Telling,
  policies: JoinedPolicies,
  { decision, inputText }: { readonly decision: PolicyDecision; readonly inputText: string },
): WhyDecided {
  const told = evaluator.evaluate(EXPLAINED, new TextEncoder().encode(inputText)) as Told | undefined;
  const all = modules.flatMap((module) => {
    const names = module.package.split(".");
    const group = names[1] === "refusal" ? told?.law : told?.extensions;
    const tried = group?.[names[2]!] ?? [];
    return bodiesOf(module, tried);
  });
  const place = (file: string, line: number) => ({ file: policies.shown(file), line });
  const values = sensitiveTo(evaluator, inputText, decision.refusals);
  const fired = decision.refusals.map((refusal, i): Fired => {
    const body = all.find(({ whole }) =>
      whole.some((each) => each !== null && refusalText(each) === refusalText(refusal)),
    );
    const rule = annotations.rules.find((each) => each.rule === refusal.rule);
    const at = body?.body ?? (rule && { file: rule.file.slice(policies.directory.length + 1), line: rule.row });
    return {
      rule: refusal.rule,
      code: refusal.code,
      ...(at ? place(at.file, at.line) : { file: "", line: 0 }),
      values: values[i]!,
    };
  });
  const nearly = all
    .filter(({ whole }) => whole.length === 0)
    .flatMap(({ body, without }): Nearly[] => {
      const [first] = without;
      const condition = first && body.conditions.get(first.at);
      if (!condition) return [];
      const { rule = "", code = "" } = first.refusal ?? {};
      const { text, line } = condition;
      return [
        {
          rule,
          code,
          ...place(body.file, body.line),
          because: `all holds but line ${line}: ${text}`,
        },
      ];
    });
  return { fired, nearly: nearly.sort((a, b) => (a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : a.line - b.line)) };
}

function bodiesOf(module: Instrumented, tried: readonly Tried[]) {
  return module.bodies.map((body, n) => {
    const own = tried.filter((each) => each.body === n);
    return {
      body,
      whole: own.filter(({ without }) => without === WHOLE).map(({ refusal }) => refusal),
      without: own
        .flatMap(({ without, refusal }) => (typeof without === "number" ? [{ at: without, refusal }] : []))
        .sort((a, b) => a.at - b.at),
    };
  });
}
