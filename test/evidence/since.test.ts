// An audit that goes on from an earlier one: what was verified before is shown to be the beginning of the log, and is not looked at again.
import test from "ava";
import { verifyExport as verifyByUs } from "../../src/evidence/verify/index.ts";
import type { VerifyReport } from "../../src/evidence/verify/report.ts";
import { admit, exportFiles, TRUSTING, withNode, type Files } from "./exports.ts";
import { compareLater, theyAgree, verifyExport } from "./second-verifier.ts";

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

const SIZES = [1, 2, 3, 5, 6, 8, 11];
/** A node's stream, exported from each of these sizes on, and up to each of them. */
let upTo: Map<number, Files>;
let from: Map<number, Files>;
let whole: Files;
let other: Files;

test.before(async () => {
  await withNode(async (node) => {
    await admit(node, 12);
    await admit(node, 3, "globex");
    other = await exportFiles(node, { tenantId: "globex" });
    upTo = new Map();
    from = new Map();
    for (const size of SIZES) {
      upTo.set(size, await exportFiles(node, { toSequence: size - 1 }));
      from.set(size, await exportFiles(node, { fromSequence: size }));
    }
    whole = await exportFiles(node);
  });
});

const sinceOf = ({ checks }: VerifyReport) => checks.find(({ name }) => name === "since");

/** Where an audit of an export ends. */
async function headOf(files: Files): Promise<string> {
  const { ok, head } = await verifyByUs(files, { ...TRUSTING, keepHead: true });
  if (!ok || head == null) throw new Error("the export does not verify");
  return head;
}

async function since(files: Files, head: string): Promise<VerifyReport> {
  const options = { ...TRUSTING, since: head };
  const report = await verifyExport(files, options);
  const inBrowsers = await verifyByUs(files, options);
  compareLater(files, options, inBrowsers);
  if (report.ok !== inBrowsers.ok) throw new Error("Node and browsers differ");
  return report;
}

test("an export that takes up where an audit ended, or before, goes on from it", async (t) => {
  for (const size of SIZES) {
    const head = await headOf(upTo.get(size)!);
    t.is(head.split("\n")[1], String(size));
    for (const files of [from.get(size)!, from.get(1)!, whole]) {
      const report = await since(files, head);
      t.true(report.ok, JSON.stringify(sinceOf(report)));
      t.regex(sinceOf(report)!.detail, new RegExp(`begins with the ${size} records? that were verified before`));
    }
  }
  const all = await headOf(whole);
  t.true((await since(whole, all)).ok, "nothing was added");
});

test("the signed checkpoint of an export is one, and so is the same without signatures", async (t) => {
  const note = whole.get("checkpoint")!.toString();
  t.is(await headOf(whole), note);
  t.true((await since(whole, note)).ok);
  t.true((await since(whole, `${note.split("\n\n")[0]!}\n`)).ok);
});

test("what does not continue it is caught: a gap, a log that is shorter, another log, another beginning, another key", async (t) => {
  const head = await headOf(upTo.get(5)!);
  const lines = head.split("\n");
  const wrong: Record<string, readonly [files: Files, head: string, detail: RegExp]> = {
    "records between were never verified": [from.get(8)!, head, /those between are missing/],
    "an older export": [upTo.get(3)!, head, /rolled back, or is an older one/],
    "another log": [other, head, /it is of the log/],
    "another beginning": [
      from.get(5)!,
      [lines[0], lines[1], Buffer.alloc(32, 7).toString("base64"), ""].join("\n"),
      /does not begin with/,
    ],
    "a beginning of another size": [from.get(5)!, [lines[0], "6", lines[2], ""].join("\n"), /does not begin with/],
    "signed by another key": [whole, forged(whole.get("checkpoint")!.toString()), /signed by no log key/],
  };
  for (const [what, [files, text, detail]] of Object.entries(wrong)) {
    const report = await since(files, text);
    t.false(report.ok, what);
    t.is(sinceOf(report)!.status, "failed", what);
    t.regex(sinceOf(report)!.detail, detail, what);
  }
});

/** The signature of no key of the log's. */
function forged(note: string): string {
  const [text, signature] = note.split("\n\n");
  const [dash, name] = signature!.split(" ");
  return `${text!}\n\n${dash!} ${name!} ${Buffer.alloc(68, 3).toString("base64")}\n`;
}

test("nothing follows from proofs that do not hold, and where not all holds nothing is kept", async (t) => {
  const head = await headOf(upTo.get(5)!);
  const proofs = JSON.parse(from.get(5)!.get("proofs.json")!.toString());
  proofs.proofs[0].hashes[1] = Buffer.alloc(32, 1).toString("base64");
  const files = new Map(from.get(5)!).set("proofs.json", Buffer.from(JSON.stringify(proofs)));
  const report = await verifyByUs(files, { ...TRUSTING, since: head, keepHead: true });
  compareLater(files, { ...TRUSTING, since: head }, report);
  t.is(sinceOf(report)!.status, "failed");
  t.is(report.head, null);
});

test("without being asked, no report says anything of it; what is no checkpoint is refused", async (t) => {
  const report = await verifyExport(whole, TRUSTING);
  t.is(sinceOf(report), undefined);
  t.false("head" in report);
  await t.throwsAsync(verifyByUs(whole, { ...TRUSTING, since: "no checkpoint" }), { instanceOf: TypeError });
});
