// How far each stream has arrived upstream, kept across restarts. To lose it costs a question: upstream knows it as well.
import { readFileSync } from "node:fs";
import { writeDurably } from "../../store/files.ts";

export interface CursorState {
  /** By chain id: the sequence that upstream expects next. */
  readonly arrived: { readonly [chainId: string]: number };
  /** The same, as it was when the node was cut off; null: it is not. */
  readonly cutOffAt: { readonly [chainId: string]: number } | null;
  /** Resolutions of this upstream were taken up to this place. */
  readonly superseded: { readonly nodeId: string; readonly next: number } | null;
}

const NONE: CursorState = { arrived: {}, cutOffAt: null, superseded: null };

/** Of one upstream: whoever is sent to another one begins anew. */
export class CursorFile {
  readonly #path: string;
  readonly #url: string;

  constructor(path: string, url: string) {
    this.#path = path;
    this.#url = url;
  }

  read(): CursorState {
    try {
      const { url, ...state } = JSON.parse(readFileSync(this.#path, "utf8")) as CursorState & { url: string };
      return url === this.#url ? state : { ...NONE, cutOffAt: state.cutOffAt && {} };
    } catch {
      return NONE;
    }
  }

  write(state: CursorState): void {
    writeDurably(this.#path, `${JSON.stringify({ url: this.#url, ...state })}\n`, 0o600);
  }
}
