// PostgreSQL's messages on the wire, as far as somebody between client and server must tell them apart: https://www.postgresql.org/docs/15/protocol-message-formats.html
const LENGTH_BYTES = 4;
const HEAD_BYTES = 1 + LENGTH_BYTES;

export interface Message {
  /** One letter. */
  readonly type: string;
  /** With its head. */
  readonly bytes: Buffer;
}

/** @returns the messages that are there in full, and what is left. */
export function messagesIn(bytes: Buffer): { readonly messages: Message[]; readonly rest: Buffer } {
  const messages: Message[] = [];
  let at = 0;
  while (at + HEAD_BYTES <= bytes.length) {
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    messages.push({ type: String.fromCharCode(bytes[at]!), bytes: bytes.subarray(at, end) });
    at = end;
  }
  return { messages, rest: bytes.subarray(at) };
}

export function message(type: string, ...texts: readonly string[]): Buffer {
  const payload = Buffer.from(texts.map((text) => `${text}\0`).join(""));
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(type);
  head.writeUInt32BE(payload.length + LENGTH_BYTES, 1);
  return Buffer.concat([head, payload]);
}

/** The text of a statement, where the message has one: of Parse and Query. */
export function sqlIn({ type, bytes }: Message): string | undefined {
  if (type === "Q") return bytes.toString("utf8", HEAD_BYTES, bytes.length - 1);
  if (type !== "P") return undefined;
  const start = bytes.indexOf(0, HEAD_BYTES) + 1;
  return bytes.toString("utf8", start, bytes.indexOf(0, start));
}

/** By which name a statement is prepared, or asked again: of Parse and Bind. */
export function statementIn({ type, bytes }: Message): string {
  const start = type === "B" ? bytes.indexOf(0, HEAD_BYTES) + 1 : HEAD_BYTES;
  return bytes.toString("utf8", start, bytes.indexOf(0, start));
}

/** The same with another text. */
export function withSql({ type, bytes }: Message, sql: string): Buffer {
  if (type === "Q") return message("Q", sql);
  const start = bytes.indexOf(0, HEAD_BYTES) + 1;
  const end = bytes.indexOf(0, start);
  const changed = Buffer.concat([bytes.subarray(0, start), Buffer.from(sql), bytes.subarray(end)]);
  changed.writeUInt32BE(changed.length - 1, 1);
  return changed;
}

/** What a client says first. */
export function startup(given: { readonly [name: string]: string }): Buffer {
  const pairs = Object.entries(given).flat();
  const payload = Buffer.from(`${pairs.map((text) => `${text}\0`).join("")}\0`);
  const head = Buffer.alloc(2 * LENGTH_BYTES);
  head.writeUInt32BE(head.length + payload.length);
  head.writeUInt32BE(0x30000, LENGTH_BYTES);
  return Buffer.concat([head, payload]);
}

/** What its session is set to, of `options`. */
export function settingsIn(first: Buffer): ReadonlyMap<string, string> {
  const given = first.toString("utf8", 2 * LENGTH_BYTES).split("\0");
  const options = given[given.indexOf("options") + 1] ?? "";
  return new Map([...options.matchAll(/-c ([a-z_]+)=(\S+)/g)].map(([, name, value]) => [name!, value!]));
}

/** An end of the session that the server declares. */
export const fatal = (code: string, why: string): Buffer => message("E", "SFATAL", "VFATAL", `C${code}`, `M${why}`, "");
