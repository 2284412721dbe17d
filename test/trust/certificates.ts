// Certificates as tests want them, sound or not: X.509 written byte by byte (RFC 5280 §4.1), signed with ECDSA P-256.
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";

export interface Certified {
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  readonly name: string;
  readonly der: Buffer;
}

export interface Wishes {
  readonly name: string;
  /** Default: itself. */
  readonly by?: Certified;
  /** Default: a new P-256 key. */
  readonly keys?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** The first byte of the key usage's bits; null: no such extension. */
  readonly usage?: number | null;
  readonly from?: Date;
  readonly until?: Date;
  /** An extension of this object identifier's content, which must be understood. */
  readonly critical?: Buffer;
}

const tlv = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
};
const sequence = (...parts: Uint8Array[]): Buffer => tlv(0x30, ...parts);
const oid = (...bytes: number[]): Buffer => tlv(0x06, Buffer.from(bytes));
const ECDSA_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const TRUE = tlv(0x01, Buffer.from([0xff]));

const nameOf = (text: string): Buffer =>
  sequence(tlv(0x31, sequence(oid(0x55, 0x04, 0x03), tlv(0x0c, Buffer.from(text)))));
const timeOf = (date: Date): Buffer =>
  tlv(0x18, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, "").slice(0, 14)}Z`));

let serial = 1;

export function certify({
  name,
  by,
  keys = generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ca = false,
  pathLength,
  usage = ca ? 0x06 : 0x80,
  from = new Date("2026-01-01T00:00:00Z"),
  until = new Date("2027-01-01T00:00:00Z"),
  critical,
}: Wishes): Certified {
  const constraints = ca
    ? sequence(TRUE, ...(pathLength === undefined ? [] : [tlv(0x02, Buffer.from([pathLength]))]))
    : sequence();
  const extensions = [
    sequence(oid(0x55, 0x1d, 0x13), TRUE, tlv(0x04, constraints)),
    ...(usage === null ? [] : [sequence(oid(0x55, 0x1d, 0x0f), TRUE, tlv(0x04, tlv(0x03, Buffer.from([1, usage]))))]),
    ...(critical === undefined ? [] : [sequence(tlv(0x06, critical), TRUE, tlv(0x04, sequence()))]),
  ];
  const tbs = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, Buffer.from([1, serial++ & 127])),
    ECDSA_SHA256,
    nameOf(by?.name ?? name),
    sequence(timeOf(from), timeOf(until)),
    nameOf(name),
    keys.publicKey.export({ type: "spki", format: "der" }),
    tlv(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", tbs, by?.key ?? keys.privateKey);
  const der = sequence(tbs, ECDSA_SHA256, tlv(0x03, Buffer.from([0]), signature));
  return { key: keys.privateKey, publicKey: keys.publicKey, name, der };
}

export const pem = ({ der }: Certified): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
export const x5c = (...chain: readonly Certified[]): string[] => chain.map(({ der }) => der.toString("base64"));
