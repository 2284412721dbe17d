// When each bundle's source last confirmed it, kept beside the database so that a restart makes no policy younger. No evidence: whoever loses it has older policies.
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface Confirmation {
  /** Of the bundle that was confirmed. */
  readonly digest: string;
  /** What the source calls it; null where it has no name there. */
  readonly etag: string | null;
  /** Milliseconds since the epoch. */
  readonly at_ms: number;
}

export class Confirmations {
  readonly #path: string;
  readonly #known: Map<string, Confirmation>;
  #writing: Promise<void> = Promise.resolve();

  constructor(dataDir: string) {
    this.#path = join(dataDir, "bundles.json");
    this.#known = new Map(Object.entries(readAll(this.#path)));
  }

  /** Undefined unless it is of this very bundle. */
  get(name: string, digest: string | undefined): Confirmation | undefined {
    const known = this.#known.get(name);
    return known?.digest === digest ? known : undefined;
  }

  set(name: string, confirmation: Confirmation): void {
    this.#known.set(name, confirmation);
    const text = `${JSON.stringify(Object.fromEntries(this.#known))}\n`;
    // What cannot be written is tried again with the next confirmation, and until then older than it is.
    this.#writing = this.#writing.then(() => this.#write(text)).catch(() => {});
  }

  /** Resolves when nothing waits to be written. */
  written(): Promise<void> {
    return this.#writing;
  }

  async #write(text: string): Promise<void> {
    const next = `${this.#path}.next`;
    await writeFile(next, text, { mode: 0o600 });
    await rename(next, this.#path);
  }
}

/** What was cut off or altered confirms nothing. */
function readAll(path: string): { [name: string]: Confirmation } {
  try {
    const read = JSON.parse(readFileSync(path, "utf8")) as { [name: string]: Partial<Confirmation> };
    return Object.fromEntries(
      Object.entries(read).filter(([, { digest, at_ms }]) => typeof digest === "string" && Number.isFinite(at_ms)),
    ) as { [name: string]: Confirmation };
  } catch {
    return {};
  }
}
