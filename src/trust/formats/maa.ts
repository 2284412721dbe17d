// Microsoft Azure Attestation (MAA): a JWT whose claims are named after the kind of evidence; a guest's token holds that of its TEE.
import { base64 } from "../base64.ts";
import { flag, hex, maybe, reading, text, Unreadable, type Claims } from "../claims.ts";
import { verifierPolicy } from "../policies.ts";
import type { Appraisal, Format } from "./format.ts";
import { agreed, initData, measured, nonces, NOTHING_MORE, registered, trustDomain, twin, within } from "./parts.ts";

export const maa: Format = {
  algorithms: ["RS256"],
  refersByDigest: true,
  read: reading((claims) => {
    const platform = platformOf(claims);
    return {
      ...NOTHING_MORE,
      ...registered(claims),
      ...platform,
      verifier_policies:
        claims["x-ms-policy-hash"] === undefined ? [] : verifierPolicy(text(claims["x-ms-policy-hash"])),
      nonces: nonces(claims.nonce, clientNonce(claims), clientNonce(within(claims, ISOLATION))),
    };
  }),
};

type Platform = Pick<Appraisal, "platform_type" | "result" | "debuggable"> & Partial<Appraisal>;

/** Of a virtual machine that attests as a guest: what is said of the TEE it runs in. */
const ISOLATION = "x-ms-isolation-tee";
const TYPE = "x-ms-attestation-type";
const COMPLIANT = "azure-compliant-cvm";

/** A machine without a TEE gets a token as well, and is none. */
function platformOf(claims: Claims): Platform {
  const type = text(claims[TYPE]);
  if (claims[ISOLATION] === undefined) return type === "azurevm" ? vtpm(claims) : teeOf(type, claims);
  if (type !== "azurevm") throw new Unreadable();
  const tee = within(claims, ISOLATION);
  const isolated = teeOf(text(tee[TYPE]), tee);
  const guest = vtpm(claims);
  return {
    ...isolated,
    result: guest.result === "fail" ? "fail" : isolated.result,
    debuggable: guest.debuggable === true ? true : isolated.debuggable,
  };
}

function teeOf(type: string, claims: Claims): Platform {
  if (type === "sevsnpvm") return snp(claims);
  if (type === "tdxvm") return { ...trustDomain(claims), platform_type: "intel-tdx", result: complianceOf(claims) };
  if (type === "sgx") return sgx(claims);
  return { platform_type: "unknown", result: "fail", debuggable: null };
}

const complianceOf = (claims: Claims): "pass" | "fail" =>
  maybe(text, claims["x-ms-compliance-status"]) === COMPLIANT ? "pass" : "fail";

const SNP = "x-ms-sevsnpvm-";
const prefixed = (prefix: string, names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [prefix + name, name]));
const SNP_MEASUREMENTS = prefixed(SNP, [
  "launchmeasurement",
  "hostdata",
  "idkeydigest",
  "authorkeydigest",
  "familyId",
  "imageId",
]);

const snp = (claims: Claims): Platform => ({
  platform_type: "amd-sev-snp",
  result: complianceOf(claims),
  debuggable: maybe(flag, claims[`${SNP}is-debuggable`]),
  measurements: measured(claims, SNP_MEASUREMENTS),
  init_data_digest: initData(maybe(hex, claims[`${SNP}hostdata`])),
});

const SGX = "x-ms-sgx-";
const SGX_MEASUREMENTS = prefixed(SGX, ["mrenclave", "mrsigner", "config-id"]);

/** The older names stand beside the newer ones in every token, and must say the same. */
function sgx(claims: Claims): Platform {
  for (const [older, newer] of [
    ["sgx-mrenclave", "mrenclave"],
    ["sgx-mrsigner", "mrsigner"],
    ["product-id", "product-id"],
    ["svn", "svn"],
  ])
    twin(claims, older!, SGX + newer!);
  return {
    platform_type: "intel-sgx",
    result: "pass",
    debuggable: agreed([maybe(flag, claims[`${SGX}is-debuggable`]), maybe(flag, claims["is-debuggable"])]),
    measurements: measured(claims, SGX_MEASUREMENTS),
  };
}

/** A machine with a TPM, by what its boot was measured to be. */
function vtpm(claims: Claims): Platform {
  const debugging = ["bootdebug-enabled", "kerneldebug-enabled", "hypervisordebug-enabled"].map((name) =>
    maybe(flag, claims[`x-ms-azurevm-${name}`]),
  );
  const secure = agreed([maybe(flag, claims.secureboot), maybe(flag, claims.secureBootEnabled)]);
  return {
    platform_type: "vtpm",
    result: secure === false ? "fail" : "pass",
    debuggable: debugging.includes(true) ? true : debugging.includes(false) ? false : null,
  };
}

/** The caller's nonce inside what the guest's own agent said, in base64. */
function clientNonce(claims: Claims): string | undefined {
  const payload = within(within(claims, "x-ms-runtime"), "client-payload");
  if (payload.nonce === undefined) return undefined;
  const said = base64(text(payload.nonce));
  if (said?.text === undefined) throw new Unreadable();
  return said.text;
}
