// `railgate/policy`: evaluation alone, with no store and no signing keys.
export { BundleError } from "../core/errors.ts";
export { EvaluationError, type EvaluationLimits } from "./evaluator.ts";
export { loadBundle, type BundleKeys, type LoadOptions, type Policy } from "./policy.ts";
