// What a builtin takes: operands of the type it asks for, with OPA's words where they are not (v1/topdown/builtins).
import { toInteger } from "./decimal.ts";
import { BuiltinError } from "./errors.ts";
import { RegoNumber, RegoObject, RegoSet, typeName, type TypeName, type Value } from "./value.ts";

/** A builtin: a value for its operands, or undefined where it has none. @throws BuiltinError, HaltError */
export type Builtin = (...operands: Value[]) => Value | undefined;

export type Builtins = { readonly [name: string]: Builtin };

export function operandFault(position: number, got: Value, ...expected: TypeName[]): BuiltinError {
  const wanted = expected.length === 1 ? expected[0] : `one of {${expected.join(", ")}}`;
  return new BuiltinError(`operand ${position} must be ${wanted} but got ${typeName(got)}`);
}

export function text(value: Value | undefined, position: number): string {
  if (typeof value === "string") return value;
  throw operandFault(position, value ?? null, "string");
}

export function number(value: Value | undefined, position: number): RegoNumber {
  if (value instanceof RegoNumber) return value;
  throw operandFault(position, value ?? null, "number");
}

/** Of any size. */
export function bigInteger(value: Value | undefined, position: number): bigint {
  const integer = toInteger(number(value, position).text);
  if (integer !== undefined) return integer;
  throw new BuiltinError(`operand ${position} must be integer number but got floating-point number`);
}

/** As Go's `int`, of 64 bits, within what JavaScript's numbers hold. */
export function integer(value: Value | undefined, position: number): number {
  const { text } = number(value, position);
  const found = /^-?\d+(?:\.0*)?$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(found)) return found;
  throw new BuiltinError(`operand ${position} must be integer number but got floating-point number`);
}

export function object(value: Value | undefined, position: number): RegoObject {
  if (value instanceof RegoObject) return value;
  throw operandFault(position, value ?? null, "object");
}

export function array(value: Value | undefined, position: number): readonly Value[] {
  if (Array.isArray(value)) return value as readonly Value[];
  throw operandFault(position, value ?? null, "array");
}

/** The items of an array or a set. */
export function collection(value: Value | undefined, position: number): readonly Value[] {
  if (value instanceof RegoSet) return value.items();
  if (Array.isArray(value)) return value as readonly Value[];
  throw operandFault(position, value ?? null, "array", "set");
}

/** The items of an array or a set of text. */
export function texts(value: Value | undefined, position: number): readonly string[] {
  return collection(value, position).map((item) => {
    if (typeof item === "string") return item;
    throw new BuiltinError(
      `operand ${position} must be ${typeName(value!)} of strings but got ${typeName(value!)} containing ${typeName(item)}`,
    );
  });
}
