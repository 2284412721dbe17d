// Statements of a connection: each is compiled when it is first asked, and kept from then on.
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** One that a caller goes through row by row is none for this: it would be the same one for the next who asks. */
export type KeptStatements = (sql: string) => StatementSync;

/** @param asArrays whether a row is an array, which costs half of one that is an object. */
export function statements(db: DatabaseSync, asArrays = false): KeptStatements {
  const known = new Map<string, StatementSync>();
  return (sql) => {
    const before = known.get(sql);
    if (before) return before;
    const statement = db.prepare(sql);
    statement.setReturnArrays(asArrays);
    known.set(sql, statement);
    return statement;
  };
}
