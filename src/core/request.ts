// Reads what callers send: from an unknown value to a typed one, or a RequestError that names every place at fault.
import type { Static, TSchema } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { RequestError } from "./errors.ts";
import { explain } from "./schema/explain.ts";
import { ElevationBodySchema, PlacementBodySchema, TopologyBodySchema, type TopologyBody } from "./schema/mesh.ts";
import { artifactsOf } from "./provenance.ts";
import { AdmissionRequestSchema, type AdmissionRequest } from "./schema/request.ts";
import { AttestationBodySchema, LifecycleBodySchema } from "./schema/workload.ts";

/**
 * A parser for one shape. It hands back the very value it was given, which must be parsed JSON, or throws RequestError
 * 422 `request_invalid` with all pointers at fault. The validator is compiled on first use.
 */
export function parser<S extends TSchema>(schema: S): (value: unknown) => Static<S> {
  let validator: Validator | undefined;
  return (value) => {
    validator ??= Compile(schema) as Validator;
    if (validator.Check(value)) return value as Static<S>;
    const faults = explain(schema, value);
    throw new RequestError(422, faults.length > 0 ? faults : [{ pointer: "", message: "not of the expected shape" }]);
  };
}

/** `POST /v1/admissions` (spec: the admission request). */
export function parseAdmissionRequest(value: unknown): AdmissionRequest {
  const request = parseAdmission(value);
  const bundles = artifactsOf(request).reduce((sum, { provenance }) => sum + (provenance?.bundles?.length ?? 0), 0);
  if (bundles > BUNDLES_MAX)
    throw new RequestError(422, [
      { pointer: "/workload/envelope", message: `brings ${bundles} bundles; ${BUNDLES_MAX} at most are verified` },
    ]);
  return request;
}

const parseAdmission = parser(AdmissionRequestSchema);
/** Verifying one takes milliseconds of a thread. */
const BUNDLES_MAX = 16;

/** What of a topology an event, which names it in full, has room for: bytes of its canonical JSON (spec evidence §1). */
const TOPOLOGY_BYTES_MAX = 32 * 1024;

const parseTopology = parser(TopologyBodySchema);

/**
 * `PUT /v1/meshes/{mesh_id}/topology`: only that there are rails; the law judges them. Throws RequestError 413 where they
 * are larger than `TOPOLOGY_BYTES_MAX`: several hundred rails.
 */
export function parseTopologyBody(value: unknown): TopologyBody {
  const body = parseTopology(value);
  // As long as in canonical form, which only orders members.
  if (Buffer.byteLength(JSON.stringify({ rails: body.rails })) > TOPOLOGY_BYTES_MAX)
    throw new RequestError(413, [
      { pointer: "/rails", message: `a topology of more than ${TOPOLOGY_BYTES_MAX} bytes in canonical JSON` },
    ]);
  return body;
}

/** `POST /v1/meshes/{mesh_id}/placements` */
export const parsePlacementBody = parser(PlacementBodySchema);

/** `POST /v1/meshes/{mesh_id}/placements/{workload_id}/elevation` */
export const parseElevationBody = parser(ElevationBodySchema);

/** `POST /v1/workloads/{id}/lifecycle` */
export const parseLifecycleBody = parser(LifecycleBodySchema);

/** `POST /v1/workloads/{id}/attestations` */
export const parseAttestationBody = parser(AttestationBodySchema);
