// What OPA has a form of answer for, thrown where it is found out.

/** OPA's codes (v1/server/types), and EVI-01, which it has no word for. */
export type OpaCode =
  | "internal_error"
  | "invalid_operation"
  | "invalid_parameter"
  | "undefined_document"
  | "unauthorized"
  | "evidence_unavailable";

/** An answer in OPA's form. */
export class OpaError extends Error {
  readonly status: number;
  readonly code: OpaCode;

  constructor(status: number, code: OpaCode, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}
