// Signed notes: the specifications' own examples, what is not a note, and whose signature counts.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  sign as signEd25519,
  verify as verifyEd25519,
  type KeyObject,
} from "node:crypto";
import test from "ava";
import { fromBase64, toBase64 } from "../../src/core/bytes.ts";
import {
  cosign,
  formatCheckpoint,
  formatNote,
  formatVkey,
  noteKey,
  parseCheckpoint,
  parseNote,
  parseVkey,
  signNote,
  SIGNATURE_TYPES,
  verifyNote,
  type Ed25519Verify,
  type NoteKey,
} from "../../src/core/note.ts";

const sha256 = (data: Uint8Array): Uint8Array => hash("sha256", data, "buffer");
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const verify: Ed25519Verify = (publicKey, message, signature) =>
  verifyEd25519(
    null,
    message,
    createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: "der", type: "spki" }),
    signature,
  );

function newKey(
  name: string,
  type: NoteKey["type"] = SIGNATURE_TYPES.ed25519,
): { key: NoteKey; sign: (message: Uint8Array) => Uint8Array; privateKey: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url");
  return {
    key: noteKey(sha256, name, type, raw),
    privateKey,
    sign: (message) => signEd25519(null, message, privateKey),
  };
}

test("the specification's note verifies with the specification's key", async (t) => {
  const key = parseVkey(sha256, "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")!;
  t.is(key.name, "example.com/foo");
  t.is(formatVkey(key), "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
  const text =
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
  const note = parseNote(text)!;
  t.is(note.text, "This is an example message.\n");
  t.deepEqual(await verifyNote(note, [key], verify), [{ key }]);
  t.is(formatNote(note), text);
  t.is(await verifyNote({ ...note, text: "This is an example massage.\n" }, [key], verify), undefined);
});

test("the specification's cosigned checkpoint parses: log and witness", (t) => {
  const note = parseNote(
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
      "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" +
      "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n",
  )!;
  t.deepEqual(
    note.signatures.map(({ name, keyId, signature }) => [name, keyId, signature.length]),
    [
      ["example.com/behind-the-sofa", "033de0ae", 64],
      ["witness.example.com/w1", "8d66cf3f", 72],
    ],
  );
  const checkpoint = parseCheckpoint(note.text)!;
  t.deepEqual(
    { ...checkpoint, root: toBase64(checkpoint.root) },
    {
      origin: "example.com/behind-the-sofa",
      size: 20_852_163,
      root: "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
      extensions: [],
    },
  );
  t.is(formatCheckpoint(checkpoint), note.text);
});

test("what is no note", (t) => {
  const line = "— a AAAAAAA=\n";
  t.truthy(parseNote(`text\n\n${line}`));
  t.truthy(parseNote(`text\n\nmore\n\n${line}${line}`));
  for (const wrong of [
    "",
    "text\n",
    "text\n\n",
    `text\n${line}`,
    `text\n\n${line.trimEnd()}`,
    `text\n\n${line}\n`,
    `text\n\n- a AAAAAAA=\n`,
    `text\n\n—  a AAAAAAA=\n`,
    "text\n\n— a AAAAAAA\n",
    "text\n\n— a AAAAAAB=\n",
    "text\n\n— a AAAAAA==\n",
    "text\n\n— a+b AAAAAAA=\n",
    "text\n\n— a\u00a0b AAAAAAA=\n",
    `te\rxt\n\n${line}`,
    `te\txt\n\n${line}`,
    `te\u0000xt\n\n${line}`,
    `te\ud800xt\n\n${line}`,
    `text\n\n${line.repeat(65)}`,
    `${"text\n".repeat(20_000)}\n${line}`,
    `text\n\n${line}trailing\n`,
  ])
    t.is(parseNote(wrong), undefined, JSON.stringify(wrong.slice(0, 60)));
  t.is(parseNote(`text\n\n${line.repeat(16)}`)!.signatures.length, 16);
});

test("what is no verifier key", (t) => {
  const good = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
  t.truthy(parseVkey(sha256, good));
  for (const wrong of [
    "",
    good.replace("530d903a", "530d903b"),
    good.replace("530d903a", "530D903A"),
    good.replace("foo", "bar"),
    good.replace("foo", "f o"),
    good.replace("+Aek", "+Bek"),
    `${good}=`,
    good.slice(0, -4),
    `${good}\n`,
    good.replace("+Aek", "+"),
  ])
    t.is(parseVkey(sha256, wrong), undefined, wrong);
});

test("what is no checkpoint", (t) => {
  const root = toBase64(new Uint8Array(32));
  t.truthy(parseCheckpoint(`o\n0\n${root}\n`));
  t.deepEqual(parseCheckpoint(`o\n9007199254740991\n${root}\nx\ny\n`)!.extensions, ["x", "y"]);
  for (const wrong of [
    "",
    `o\n0\n${root}`,
    `\n0\n${root}\n`,
    `o\n00\n${root}\n`,
    `o\n01\n${root}\n`,
    `o\n-1\n${root}\n`,
    `o\n+1\n${root}\n`,
    `o\n1.0\n${root}\n`,
    `o\n1e3\n${root}\n`,
    `o\n9007199254740992\n${root}\n`,
    `o\n 1\n${root}\n`,
    `o\n\n${root}\n`,
    `o\n1\n${root.slice(4)}\n`,
    `o\n1\n${root.replace("=", "")}\n`,
    `o\n1\n${root}\n\n`,
    `o\n1\n`,
    `o\n1\n${root}\r\n`,
  ])
    t.is(parseCheckpoint(wrong), undefined, JSON.stringify(wrong));
  t.throws(() => formatCheckpoint({ origin: "a\nb", size: 1, root: new Uint8Array(32), extensions: [] }), {
    instanceOf: RangeError,
  });
  t.throws(() => formatCheckpoint({ origin: "", size: 1, root: new Uint8Array(32), extensions: [] }), {
    instanceOf: RangeError,
  });
});

test("unknown signatures are ignored, known ones must all hold, and none is no note", async (t) => {
  const [log, witness, stranger] = [
    newKey("log.example"),
    newKey("witness.example", SIGNATURE_TYPES.cosignature),
    newKey("log.example"),
  ];
  const text = formatCheckpoint({ origin: "log.example", size: 1, root: sha256(new Uint8Array()), extensions: [] });
  const signed = signNote(text, log.key, log.sign);
  const cosigned = cosign(text, witness.key, 1_679_315_147, witness.sign);
  const foreign = signNote(text, stranger.key, stranger.sign);
  const keys = [log.key, witness.key];
  t.deepEqual(await verifyNote({ text, signatures: [foreign, signed, cosigned, signed] }, keys, verify), [
    { key: log.key },
    { key: witness.key, timestampS: 1_679_315_147 },
  ]);
  t.is(await verifyNote({ text, signatures: [foreign] }, keys, verify), undefined);
  const late = { ...cosigned, signature: cosigned.signature.map((byte, i) => (i === 7 ? byte + 1 : byte)) };
  t.is(await verifyNote({ text, signatures: [signed, late] }, keys, verify), undefined);
  t.is(
    await verifyNote({ text, signatures: [{ ...signed, signature: signed.signature.slice(1) }] }, keys, verify),
    undefined,
  );
  t.is(await verifyNote({ text, signatures: [{ ...signed, keyId: "00000000" }] }, keys, verify), undefined);
});

test("a cosignature is no signature of the note, and the other way round", async (t) => {
  const { key, sign, privateKey } = newKey("w");
  const cosigner = noteKey(sha256, "w", SIGNATURE_TYPES.cosignature, key.publicKey);
  t.not(cosigner.keyId, key.keyId);
  t.is(createPrivateKey(privateKey.export({ format: "pem", type: "pkcs8" })).asymmetricKeyType, "ed25519");
  const text = formatCheckpoint({ origin: "o", size: 0, root: sha256(new Uint8Array()), extensions: [] });
  t.is(
    await verifyNote({ text, signatures: [{ ...cosign(text, cosigner, 1, sign), keyId: key.keyId }] }, [key], verify),
    undefined,
  );
  t.is(
    await verifyNote(
      { text, signatures: [{ ...signNote(text, key, sign), keyId: cosigner.keyId }] },
      [cosigner],
      verify,
    ),
    undefined,
  );
});

test("base64 has one spelling", (t) => {
  t.is(toBase64(fromBase64("+/8=")!), "+/8=");
  for (const wrong of ["+/9=", "-_8=", "+/8", "+/8 =", "=", "A===", " ", "AAAA====", "AAAA\n"])
    t.is(fromBase64(wrong), undefined, wrong);
});
