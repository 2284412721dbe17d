// The tables of docs/configuration.md, from the schema of the settings; what stands around them is written by hand.
import type { TSchema } from "typebox";
import { ConfigFile } from "../src/core/schema/config.ts";
import { ofOpaAlone, WITHOUT_EFFECT_YET } from "../src/core/schema/without-effect.ts";
import { settingsOf } from "../src/core/settings.ts";

type Described = TSchema & {
  readonly title?: string;
  readonly description?: string;
  readonly "x-unsupported"?: string;
  readonly "x-unused"?: string;
};
type Row = readonly string[];

/** By the heading that each stands under. */
const TABLES: Readonly<Record<string, () => { readonly heading: Row; readonly rows: readonly Row[] }>> = {
  "Railgate's settings": () => settings((path) => path.startsWith("railgate.")),
  "OPA's settings": () => settings((path) => !path.startsWith("railgate")),
  "Without effect yet": () => because(Object.entries(WITHOUT_EFFECT_YET)),
  "Accepted, without effect": () => because(ofOpaAlone().map(({ setting, why }) => [setting, why])),
  "Not supported": () => because(all().flatMap(([path, { "x-unsupported": why }]) => (why ? [[path, why]] : []))),
};

/** The page with its tables as they should be. @throws Error a table has no place in it. */
export function settingsDoc(page: string): string {
  return Object.entries(TABLES).reduce((text, [title, table]) => {
    const at = text.indexOf(`\n## ${title}\n`);
    const from = text.indexOf("\n| ", at) + 1;
    if (at < 0 || from === 0) throw new Error(`docs/configuration.md has no table under "${title}"`);
    const to = text.slice(from).search(/\n(?!\| )|$/) + from;
    const { heading, rows } = table();
    const lines = [heading, heading.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
    return text.slice(0, from) + lines.join("\n") + text.slice(to);
  }, page);
}

const all = (): [string, Described][] => [...settingsOf(ConfigFile)].map(({ path, schema }) => [path, schema]);

/** A section that has nothing to say of itself but that it is a mapping or a list has no row. */
function settings(wanted: (path: string) => boolean): { heading: Row; rows: Row[] } {
  const listed = all().filter(([path, schema]) => wanted(path) && !schema["x-unused"] && !schema["x-unsupported"]);
  const rows = listed.filter(([, { title }]) => title !== undefined);
  return {
    heading: ["setting", "value", "for"],
    rows: rows.map(([path, { description = "", title = "" }]) => [`\`${path}\``, valueOf(description), title]),
  };
}

const valueOf = (description: string): string => (description === "a text that isn't empty" ? "text" : description);

const because = (reasons: readonly (readonly [string, string])[]): { heading: Row; rows: Row[] } => ({
  heading: ["setting", "because"],
  rows: reasons.map(([setting, why]) => [`\`${setting}\``, why]),
});
