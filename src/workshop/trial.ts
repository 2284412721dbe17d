// A request tried against policies as they lie in a folder: the decision, as a node would make it, and what led to it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BundleError } from "../core/errors.ts";
import { digestOf } from "../core/event.ts";
import { explain, type Catalogue } from "../core/outcome.ts";
import type { Decision } from "../core/schema/decision.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { decideOn } from "../library/dry-run.ts";
import type { Law } from "../gate/commands/command.ts";
import type { Config } from "../node/config/config.ts";
import { checkSettingsSource, settingsError, settingsSource } from "../node/settings.ts";
import { readBundleData } from "../policy/bundle-files.ts";
import { DEFAULT_LIMITS, Evaluator } from "../policy/evaluator.ts";
import { withOverlay, type SettingsOverlay } from "../policy/overlay.ts";
import { readSignedOverlay } from "../policy/policy.ts";
import { requireSettings } from "../policy/settings-checks.ts";
import { buildPolicies, settingsSchemaOf } from "./build.ts";
import { explainDecision, TellingCompiler, type WhyDecided, type Telling } from "./explain.ts";
import { JoinedPolicies } from "./folder.ts";
import { readInput } from "./keys.ts";

export interface Tried extends WhyDecided {
  readonly decision: Decision;
  /** Why the host refused in the policy's place (POL-03). */
  readonly problem: string | undefined;
}

/** Longer than a node lets an evaluation be: here a person waits, and learns what it says. */
const LIMITS = { ...DEFAULT_LIMITS, evaluationMsMax: 10_000 };

/** Policies of a folder, kept compiled as long as their sources stay as they are. */
export class Trial implements Disposable {
  readonly policies: JoinedPolicies;
  readonly #compiler: TellingCompiler;
  readonly #config: Config;
  readonly #settingsFile: string | undefined;
  #telling: Telling | undefined;
  #settings: SettingsOverlay | null = null;
  #settingsBytes: Uint8Array | undefined;
  #evaluator: Evaluator | undefined;
  #catalogue: Catalogue = {};

  /**
   * @param folder the author's policies; undefined: the law that comes with Railgate alone.
   * @param settingsFile laid over the policies' settings.
   * @throws FolderError
   */
  constructor(config: Config, folder: string | undefined, settingsFile: string | undefined) {
    this.policies = new JoinedPolicies(folder);
    this.#compiler = new TellingCompiler(this.policies);
    this.#config = config;
    this.#settingsFile = settingsFile;
  }

  /**
   * @param nowMs the time to decide at. @throws PolicyError what is wrong with the policies. @throws ConfigError what is wrong with the settings.
   */
  async run(request: AdmissionRequest, nowMs: number): Promise<Tried> {
    await this.#update();
    const evaluator = this.#evaluator!;
    const law = {
      digest: digestOf(this.#telling!.wasm),
      settings: this.#settings,
      catalogue: this.#catalogue,
      evaluateText: (entrypoint: string, input: string | Uint8Array) => evaluator.evaluate(entrypoint, input),
      evaluateValue: (entrypoint: string, input: string | Uint8Array = "") =>
        evaluator.evaluateExactly(entrypoint, input),
    };
    const { decision, inputText, problem } = await decideOn(law, this.#config, request, nowMs);
    const told =
      problem === undefined
        ? explainDecision(evaluator, this.#telling!, this.policies, { decision, inputText: inputText! })
        : { fired: [], nearly: [] };
    return { decision: explain(decision, this.#catalogue), ...told, problem };
  }

  [Symbol.dispose](): void {
    this.policies[Symbol.dispose]();
  }

  /** Compiles where a rule has changed; where only data or settings have, loads what is compiled with those. */
  async #update(): Promise<void> {
    const changes = this.policies.refresh();
    const settings = this.#settingsFile === undefined ? undefined : readInput(this.#settingsFile);
    const settingsChanged = !same(settings, this.#settingsBytes);
    if (changes.rego || this.#telling === undefined) {
      this.#evaluator = undefined;
      this.#telling = undefined;
      this.#telling = await this.#compiler.compile();
    }
    if (this.#evaluator !== undefined && !changes.data && !settingsChanged) return;
    this.#evaluator = undefined;
    this.#settingsBytes = undefined;
    this.#settings = settings === undefined ? null : await this.#overlay(settings);
    const read = await readBundleData(dataFiles(this.policies.directory, this.policies.dataFiles()));
    const data = (this.#settings ? withOverlay(read, this.#settings) : read) as {
      railgate?: { catalogue?: Catalogue; settings?: unknown };
    };
    requireFit(this.policies, data.railgate?.settings, this.#settingsFile);
    this.#catalogue = data.railgate?.catalogue ?? {};
    this.#evaluator = await Evaluator.load(this.#telling.wasm, data, LIMITS);
    this.#settingsBytes = settings;
  }

  /** @throws ConfigError naming the pointer at fault. */
  async #overlay(bytes: Uint8Array): Promise<SettingsOverlay> {
    try {
      return await readSignedOverlay(bytes, this.#config.keys);
    } catch (cause) {
      if (!(cause instanceof BundleError)) throw cause;
      throw settingsError("settings", this.#settingsFile, cause);
    }
  }
}

/** What a node would ask of settings before it decides with them. @throws ConfigError naming the pointer at fault. */
function requireFit(policies: JoinedPolicies, settings: unknown, file: string | undefined): void {
  const schema = settingsSchemaOf(policies);
  try {
    if (schema !== undefined) requireSettings(schema, settings);
  } catch (cause) {
    if (!(cause instanceof BundleError) || cause.reason !== "settings") throw cause;
    throw settingsError("settings", file, cause);
  }
}

export interface BuiltLaw {
  readonly law: Law;
  /** What it sees as `data`, settings laid on. */
  readonly data: { readonly railgate?: object };
}

/** Policies as a node would have them, with the settings that `config` names. @throws PolicyError, ConfigError */
export async function loadBuilt(policies: JoinedPolicies, config: Config): Promise<BuiltLaw> {
  const { files } = await buildPolicies(policies);
  const source = settingsSource(config.settings, config.keys);
  if (source) await checkSettingsSource(source, "railgate.settings", config.settings);
  const settings = source ? await readSignedOverlay(source.bytes(), source.keys) : null;
  const read = await readBundleData(files);
  const data = (settings ? withOverlay(read, settings) : read) as {
    railgate?: { catalogue?: Catalogue; settings?: unknown };
  };
  requireFit(policies, data.railgate?.settings, config.settings);
  const evaluator = await Evaluator.load(files.get("policy.wasm")!, data, LIMITS);
  const law = {
    digest: digestOf(files.get("policy.wasm")!),
    settings,
    catalogue: data.railgate?.catalogue ?? {},
    evaluateText: (entrypoint: string, input: string | Uint8Array) => evaluator.evaluate(entrypoint, input),
    evaluateValue: (entrypoint: string, input: string | Uint8Array = "") =>
      evaluator.evaluateExactly(entrypoint, input),
  };
  return { law, data };
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;

const dataFiles = (directory: string, names: readonly string[]): Map<string, Uint8Array> =>
  new Map(names.map((name) => [name, readFileSync(join(directory, name))]));
