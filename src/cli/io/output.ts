// What a command says: text for a person, JSON for a program, and never a control character that a caller smuggled in.

type Paint = (text: string) => string;
export type Palette = {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
};

const LINE_COLUMNS_MAX = 100;
const COLUMNS_MIN = 20;
const INDENT = "  ";

const paint =
  (open: number, close: number): Paint =>
  (text) =>
    `\x1b[${open}m${text}\x1b[${close}m`;
const COLOURS: Palette = {
  bold: paint(1, 22),
  dim: paint(2, 22),
  red: paint(31, 39),
  green: paint(32, 39),
  yellow: paint(33, 39),
};
const PLAIN: Palette = { bold: String, dim: String, red: String, green: String, yellow: String };

export class Output {
  readonly json: boolean;
  readonly colour: Palette;
  readonly #stdout: NodeJS.WriteStream;
  readonly #stderr: NodeJS.WriteStream;

  constructor({ json, colour }: { json: boolean; colour: boolean }, stdout = process.stdout, stderr = process.stderr) {
    this.json = json;
    this.colour = colour && !json ? COLOURS : PLAIN;
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** How wide a line may be: prose is easier to read in lines that aren't too long, and to search in lines that aren't broken. */
  get columns(): number {
    return this.#stdout.isTTY ? Math.min(this.#stdout.columns || LINE_COLUMNS_MAX, LINE_COLUMNS_MAX) : Infinity;
  }

  line(text = ""): void {
    this.#stdout.write(`${text}\n`);
  }

  /** One value, on one line. */
  value(value: unknown): void {
    this.line(JSON.stringify(value, exactly));
  }

  /** For the person beside the output: not part of it. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  /** A line that replaces the one before it, on a terminal only. "" takes it away. */
  progress(text: string): void {
    if (this.#stderr.isTTY && !this.json) this.#stderr.write(`\r\x1b[K${text}`);
  }

  /** Rows under a heading; the last column isn't padded. */
  table(heading: readonly string[], rows: readonly (readonly string[])[]): void {
    this.rows(heading, true)(rows);
  }

  /**
   * A table whose rows come in parts: the first part says how wide its columns are. On a terminal that is too narrow each row,
   * and the heading, goes on in a further line.
   * @param always the heading too, where there is no row.
   */
  rows(heading: readonly string[], always = false): (rows: readonly (readonly string[])[]) => void {
    let layout: Layout | undefined;
    return (rows) => {
      if (layout === undefined) {
        if (rows.length === 0 && !always) return;
        layout = layoutOf([heading, ...rows], this.#terminalColumns);
        for (const line of rowLines(heading, layout)) this.line(this.colour.bold(line));
      }
      for (const cells of rows) for (const line of rowLines(cells, layout)) this.line(line);
    };
  }

  get #terminalColumns(): number {
    return this.#stdout.isTTY ? this.#stdout.columns || LINE_COLUMNS_MAX : Number.POSITIVE_INFINITY;
  }

  /** A label, and text wrapped beside it. */
  labelled(label: string, text: string, indent = 0, labelWidth = label.length): void {
    this.hanging(`${INDENT.repeat(indent)}${this.colour.dim(label.padEnd(labelWidth))}  `, text);
  }

  /** Text wrapped beside what comes before it. */
  hanging(before: string, text: string): void {
    const width = visible(before).length;
    const lines = wrap(text, Math.max(this.columns - width, COLUMNS_MIN));
    lines.forEach((line, index) => this.line((index === 0 ? before : " ".repeat(width)) + line));
  }
}

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const widths: number[] = [];
  for (const cells of rows)
    cells.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, visible(cell).length)));
  return widths;
}

/** How wide each column is, and which of them share a line. */
interface Layout {
  readonly widths: readonly number[];
  readonly lines: readonly (readonly number[])[];
  readonly columns: number;
}

const GAP = "  ";
const CONTINUED = "    ";

/** As many columns on a line as fit; what may be long comes last, and is broken into words. */
function layoutOf(rows: readonly (readonly string[])[], columns: number): Layout {
  const widths = columnWidths(rows);
  const last = widths.length - 1;
  // One by one: there may be more words than a call takes arguments.
  let lastWord = 0;
  for (const cells of rows)
    for (const word of visible(cells[last] ?? "").split(" ")) lastWord = Math.max(lastWord, word.length);
  const lines: number[][] = [[]];
  let used = 0;
  widths.forEach((width, column) => {
    const needed = column === last ? Math.min(width, Math.max(lastWord, COLUMNS_MIN)) : width;
    const line = lines.at(-1)!;
    if (line.length > 0 && used + GAP.length + needed > columns) {
      lines.push([column]);
      used = CONTINUED.length + width;
    } else {
      line.push(column);
      used += (line.length === 1 ? 0 : GAP.length) + width;
    }
  });
  return { widths, lines, columns };
}

function rowLines(cells: readonly string[], { widths, lines, columns }: Layout): string[] {
  const last = widths.length - 1;
  return lines.flatMap((line, index) => {
    const start = index === 0 ? "" : CONTINUED;
    const padded = line.filter((column) => column !== last).map((column) => pad(cells[column] ?? "", widths[column]!));
    if (!line.includes(last)) return [`${start}${padded.join(GAP)}`.trimEnd()];
    const before = start + padded.map((cell) => cell + GAP).join("");
    const width = visible(before).length;
    const text = cells[last] ?? "";
    const parts = width + visible(text).length <= columns ? [text] : wrap(text, Math.max(columns - width, COLUMNS_MIN));
    return parts.map((part, at) => `${at === 0 ? before : " ".repeat(width)}${part}`.trimEnd());
  });
}

const pad = (cell: string, width: number): string => cell + " ".repeat(Math.max(0, width - visible(cell).length));

/** Without colour. */
export const visible = (text: string) => text.replaceAll(/\x1b\[\d+m/g, "");

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Text of someone else's, safe on a terminal: control, bidirectional and zero-width characters show as what they are. */
export function safe(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** `JSON.rawJSON` of ECMAScript 2026: a whole number beyond 2^53−1 is written as it is. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };
const exactly = (_: string, value: unknown): unknown => (typeof value === "bigint" ? rawJSON(String(value)) : value);
