// Problems of the door's own: the code, status and title of each.

/** Every code that this door answers by itself, with its HTTP status. Clients may rely on both; titles may change. */
export const PROBLEMS = {
  request_malformed: { status: 400, title: "The request cannot be read" },
  unauthenticated: { status: 401, title: "Who is calling is not proven" },
  host_forbidden: { status: 403, title: "The Host header names another server" },
  origin_forbidden: { status: 403, title: "The request comes from another site" },
  tenant_forbidden: { status: 403, title: "That is another tenant's" },
  operator_needed: { status: 403, title: "That is an operator's to do" },
  not_found: { status: 404, title: "There is nothing at this path" },
  workload_unknown: { status: 404, title: "No such workload" },
  mesh_unknown: { status: 404, title: "No such mesh" },
  event_unknown: { status: 404, title: "No such event" },
  artifact_unknown: { status: 404, title: "The artifact is not here" },
  stream_unknown: { status: 404, title: "No such stream" },
  tile_unknown: { status: 404, title: "No such tile" },
  method_not_allowed: { status: 405, title: "This path does not take that method" },
  request_timeout: { status: 408, title: "The request took too long to arrive" },
  export_incomplete: { status: 409, title: "The export would lack what its profile demands" },
  key_unavailable: { status: 409, title: "The key cannot be had" },
  revision_conflict: { status: 412, title: "The mesh has moved on" },
  request_too_large: { status: 413, title: "The request is too large or too deep" },
  content_type_unsupported: { status: 415, title: "The request is not JSON" },
  request_invalid: { status: 422, title: "The request is not of the expected shape" },
  idempotency_key_reused: { status: 422, title: "The key was used for another request" },
  headers_too_large: { status: 431, title: "The request's headers are too large" },
  bodies_exhausted: { status: 503, title: "Too much is being sent at once" },
  evidence_unavailable: { status: 503, title: "Evidence could not be recorded" },
  not_ready: { status: 503, title: "This node would admit nothing now" },
  verification_timeout: { status: 503, title: "The archive takes too long to verify" },
  artifact_altered: { status: 503, title: "The artifact is not the one that was recorded" },
  exports_exhausted: { status: 503, title: "Too many exports are read or verified at once" },
  streams_exhausted: { status: 503, title: "Too many clients follow the events" },
  internal: { status: 503, title: "Something unexpected went wrong" },
} as const satisfies { readonly [code: string]: { readonly status: number; readonly title: string } };

export type ProblemCode = keyof typeof PROBLEMS;
