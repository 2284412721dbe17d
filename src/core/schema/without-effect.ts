// Settings that are good, are read, and that nothing acts on yet: one line each, which goes when something does.
// `serve` warns of those that it finds, `doctor` lists them, and docs/configuration.md is written from here and from the schema.
import type { TSchema } from "typebox";
import { settingsOf } from "../settings.ts";
import { ConfigFile } from "./config.ts";

const NOT_LOGGED = "the log has each decision's outcome and codes already";

/** By path, as `settingsOf` has it, with the reason; `<name>` is any name. A section stands for all that is in it. */
export const WITHOUT_EFFECT_YET: Readonly<Record<string, string>> = {
  "decision_logs.console": NOT_LOGGED,
  "status.console": "the log has what changes already",
  "status.trigger": "status is reported whenever it changes",
};

export interface SettingWithoutEffect {
  readonly setting: string;
  readonly why: string;
}

/** Those that OPA alone acts on, by the word of the schema. */
export const ofOpaAlone = (): SettingWithoutEffect[] =>
  [...settingsOf(ConfigFile)].flatMap(({ path, schema }) => {
    const why = (schema as TSchema & { "x-unused"?: string })["x-unused"];
    return why === undefined ? [] : [{ setting: path, why }];
  });

/** All of them. */
export const settingsWithoutEffect = (): SettingWithoutEffect[] => [
  ...Object.entries(WITHOUT_EFFECT_YET).map(([setting, why]) => ({ setting, why })),
  ...ofOpaAlone(),
];
