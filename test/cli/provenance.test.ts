// `railgate provenance` and `railgate export --as vsa`, as a person or a pipeline types them.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { containerRequest } from "../core/requests.ts";
import { BUILDER, IMAGE, ISSUER, makeSigstore, WORKFLOW } from "../trust/sigstore.ts";
import { emptyDir, railgate } from "./railgate.ts";

const sigstore = await makeSigstore();
const cwd = emptyDir();
const identities = [{ issuer: ISSUER, subject: WORKFLOW, builder: BUILDER, level: 2 }];
const put = (name: string, value: unknown) => writeFileSync(join(cwd, name), JSON.stringify(value));
put("root.json", sigstore.trustedRoot);
put("opa.yaml", { railgate: { trust: { provenance: { trusted_root: "root.json", identities } } } });
put("good.json", await sigstore.bundle());
put("bad.json", await sigstore.bundle({ subjectName: "https://evil.example" }));
const OTHER = `sha256:${"ab".repeat(32)}`;

test("verify says which step fails, with nothing but files", async (t) => {
  const told = await railgate(["provenance", "verify", "good.json", "bad.json"], { cwd });
  t.is(told.code, 1);
  t.regex(
    told.stdout,
    /holds {2}good\.json[\s\S]*signer +https:\/\/github\.com\/acme[\s\S]*fails {2}bad\.json: at identity, /,
  );
  const { code, stdout } = await railgate(["provenance", "verify", "good.json", "--artifact", OTHER, "--json"], {
    cwd,
  });
  t.is(code, 1);
  t.like(JSON.parse(stdout), { ok: false, bundles: [{ file: "good.json", step: "subject" }] });
  t.is(
    (
      await railgate(["provenance", "verify", "-", "--artifact", IMAGE], {
        cwd,
        input: readFileSync(join(cwd, "good.json"), "utf8"),
      })
    ).code,
    0,
  );
  t.is((await railgate(["provenance", "verify", "good.json", "--artifact", "x"], { cwd })).code, 2);
  t.is((await railgate(["provenance", "verify", "none.json"], { cwd })).code, 3);
  const nothing = join(cwd, "nothing");
  mkdirSync(nothing);
  t.is((await railgate(["provenance", "verify", "../good.json"], { cwd: nothing })).code, 2);
});

test("what is added is shown, admits by digest, and is told to other tools", async (t) => {
  t.is((await railgate(["provenance", "show", IMAGE], { cwd })).code, 1);
  t.is((await railgate(["provenance", "add", "bad.json"], { cwd })).code, 1);
  t.is((await railgate(["provenance", "add", "good.json"], { cwd })).code, 0);
  const shown = JSON.parse((await railgate(["provenance", "show", IMAGE, "--json"], { cwd })).stdout);
  t.like(shown, { digest: IMAGE, items: [{ verified: true, subjects: [IMAGE], level: 2 }] });
  const request = containerRequest() as any;
  delete request.workload.envelope.container.images[0].provenance;
  put("request.json", request);
  t.is((await railgate(["decide", "request.json"], { cwd })).code, 0);
  t.is((await railgate(["export", "--tenant", "acme", "--as", "vsa", "--out", "statements"], { cwd })).code, 0);
  const files = readdirSync(join(cwd, "statements"));
  t.is(files.length, 2);
  const vsa = JSON.parse(
    readFileSync(join(cwd, "statements", files.find((name) => name.endsWith(".vsa.json"))!), "utf8"),
  );
  const statement = JSON.parse(Buffer.from(vsa.payload, "base64").toString());
  t.deepEqual(statement.predicate.verifiedLevels, ["SLSA_BUILD_LEVEL_2"]);
  t.is((await railgate(["export", "--tenant", "acme", "--as", "vsa", "--out", "statements"], { cwd })).code, 2);
});
