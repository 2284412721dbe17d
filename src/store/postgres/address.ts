// Where a store in PostgreSQL is, as threads tell it to each other: the server, and for which data directory it is asked.

/** A node's claim to its id, as the row of the id has it. */
export interface Lease {
  readonly nodeId: string;
  /** Of this process alone. */
  readonly token: string;
}

export interface DatabaseAt {
  /** With the password, if there is one: never shown. */
  readonly url: string;
  /** Connections for reading. */
  readonly poolMax: number;
  /** Names the data directory: its keys, and what else of the database is one node's own. A UUID, kept in it, and a secret. */
  readonly scope: string;
  /** Needed to write events. */
  readonly lease?: Lease | undefined;
}

/** As people may read it: no user, no password, no parameters. */
export function shownAddress(url: string): string {
  const [, host = "", database = ""] = /^[a-z]+:\/\/(?:[^@/]*@)?([^/?]*)(?:\/([^?]*))?/i.exec(url) ?? [];
  return `PostgreSQL at ${host === "" ? "its socket" : host}, database ${database === "" ? "of its user" : database}`;
}
