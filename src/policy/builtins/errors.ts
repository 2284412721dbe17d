// How a builtin fails: as OPA's do, which leaves its expression undefined, or for good.

/** What OPA calls a builtin error: the expression is undefined, and evaluation goes on. */
export class BuiltinError extends Error {}

/** Evaluation ends: the host's own bounds, and what it can't answer as OPA would. Never an answer that OPA would not give. */
export class HaltError extends Error {}

/** Evaluation ends, since it took longer than it may. */
export class LateError extends HaltError {}

/** Evaluation ends at a builtin's error, since the caller wants to hear of it. */
export class StrictError extends HaltError {}
