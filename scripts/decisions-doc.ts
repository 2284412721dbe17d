// Writes docs/decisions/README.md: the decisions in order, each with its status.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const DIRECTORY = "docs/decisions";

/** A decision says "Status: …" where it is not simply in force. */
export function decisionsDoc(): string {
  const files = readdirSync(DIRECTORY).filter((file) => /^\d{4}-.*\.md$/.test(file));
  const rows = files.sort().map((file) => {
    const text = readFileSync(join(DIRECTORY, file), "utf8");
    const title = /^# (?:\d+\.? )?(.*)$/m.exec(text)?.[1] ?? file;
    const status = /^Status: (.*?)\.?$/m.exec(text)?.[1] ?? "accepted";
    return `| [${file.slice(0, 4)}](${file}) | ${title} | ${status} |`;
  });
  return [
    "<!-- The decisions. Written by `npm run generate` from their files. -->",
    "# Decisions",
    "",
    "Why it is built so, one decision a page: what was chosen, what it costs, what else was tried. A decision is never rewritten:",
    "a later one supersedes it, and its status says by which.",
    "",
    "| | decision | status |",
    "| --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
