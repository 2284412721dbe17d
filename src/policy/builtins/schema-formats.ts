// The formats that OPA's JSON Schema knows; one that it does not know is matched by any text.
import { BuiltinError, HaltError } from "./errors.ts";
import { parseV4, parseV6 } from "./net.ts";
import { compiled } from "./regex.ts";
import { parseTime } from "./time-parse.ts";
import { parseUri } from "./uri.ts";

const TIME = ["15:04:05", "15:04:05Z07:00"];
const DATE = "2006-01-02";
const HOSTNAME = /^[a-zA-Z\d](?:[a-zA-Z\d-]{0,61}[a-zA-Z\d])?(?:\.[a-zA-Z\d](?:[a-zA-Z\d-]{0,61}[a-zA-Z\d])?)*$/;
const UUID = /^[a-f\d]{8}-[a-f\d]{4}-[a-f\d]{4}-[a-f\d]{4}-[a-f\d]{12}$/i;
const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/;
const RELATIVE_POINTER = /^(?:0|[1-9]\d*)(?:#|(?:\/(?:[^~/]|~[01])*)*)$/;
const TEMPLATE = /^(?:[^{]|\{[^}]*\})*$/;

const isUri = (value: string): boolean => succeeds(() => parseUri(value)) && !value.includes("\\");
const isAbsoluteUri = (value: string): boolean => isUri(value) && parseUri(value)["scheme"] !== undefined;
const isTime = (layouts: readonly string[]) => (value: string) =>
  layouts.some((layout) => succeeds(() => parseTime(layout, value)));

const FORMATS: { readonly [format: string]: (value: string) => boolean } = {
  date: isTime([DATE]),
  time: isTime(TIME),
  "date-time": isTime([...TIME, DATE, "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.999999999Z07:00"]),
  hostname: (value) => value.length < 256 && HOSTNAME.test(value),
  email: isEmail,
  "idn-email": isEmail,
  ipv4: (value) => value.includes(".") && isAddress(value),
  ipv6: (value) => value.includes(":") && isAddress(value),
  uri: isAbsoluteUri,
  "uri-reference": isUri,
  iri: isAbsoluteUri,
  "iri-reference": isUri,
  "uri-template": (value) => isUri(value) && TEMPLATE.test(parseUri(value)["path"] ?? ""),
  uuid: (value) => UUID.test(value),
  regex: (value) => succeeds(() => compiled(value)),
  "json-pointer": (value) => POINTER.test(value),
  "relative-json-pointer": (value) => RELATIVE_POINTER.test(value),
};

/** @throws HaltError for addresses of mail that are not simply one name at another. */
export function isFormat(format: string, value: string): boolean {
  return !Object.hasOwn(FORMATS, format) || FORMATS[format]!(value);
}

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof BuiltinError) return false;
    throw error;
  }
}

const isAddress = (value: string): boolean => parseV4(value) !== undefined || parseV6(value) !== undefined;

/** What RFC 5322 has of letters, digits and signs, without quotes, comments, groups and names beside the address. */
const SIMPLE = /^[\w!#$%&'*+/=?^`{|}~.@-]*$/;
const ATOMS = String.raw`[\w!#$%&'*+/=?^${"`"}{|}~-]+(?:\.[\w!#$%&'*+/=?^${"`"}{|}~-]+)*`;
const ADDRESS = new RegExp(`^${ATOMS}@${ATOMS}$`);

function isEmail(value: string): boolean {
  if (!value.includes("@")) return false;
  if (!SIMPLE.test(value))
    throw new HaltError(`JSON Schema: this form of an address is not read here: ${value.slice(0, 100)}`);
  return ADDRESS.test(value);
}
