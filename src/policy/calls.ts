// Where a policy's sources call a builtin, for messages: what the compiler knew, WASM forgot.

/** Text and comments of Rego, in which a name is no call. */
const SILENT = /"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*/g;
const decoder = new TextDecoder();

/** @returns `file:line` of each call, in the order of files and lines; nothing where the sources are not in the bundle. */
export function callsOf(name: string, files: ReadonlyMap<string, Uint8Array>): string[] {
  const call = new RegExp(`(?<![\\w.])${name.replaceAll(".", "\\.")}\\s*\\(`);
  return [...files]
    .filter(([file]) => file.endsWith(".rego"))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([file, content]) => {
      const code = decoder.decode(content).replace(SILENT, (silent) => silent.replaceAll(/[^\n]/g, " "));
      return code.split("\n").flatMap((line, i) => (call.test(line) ? [`${file}:${i + 1}`] : []));
    });
}
