// `npm run bench -- tokens`: what one attestation token costs, of each format: the first time, and again.
import { makeTrust } from "../src/trust/trust.ts";
import { attesters, NOW_MS, SAMPLES, signed } from "../test/trust/tokens.ts";

const TOKENS = 40;
const AGAIN = 2000;

export interface TokenCost {
  readonly what: string;
  readonly first_us: number;
  readonly again_us: number;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

/** The median of so many tokens, each verified for the first time, and of one that is known. */
export async function tokenCosts(): Promise<TokenCost[]> {
  const trust = await makeTrust({ authorities: [], attesters: attesters() });
  const timed = async (token: string): Promise<number> => {
    const started = performance.now();
    await trust.verifyAttestation(token, { nowMs: NOW_MS, nonce: undefined });
    return (performance.now() - started) * 1000;
  };
  const costs: TokenCost[] = [];
  for (const [what, sample] of Object.entries(SAMPLES)) {
    const tokens = await Promise.all(
      Array.from({ length: TOKENS }, (_, n) => signed(sample, { ...sample.claims(), jti: `t-${n}` })),
    );
    const [first, again]: [number[], number[]] = [[], []];
    for (const token of tokens) first.push(await timed(token));
    for (let n = 0; n < AGAIN; n++) again.push(await timed(tokens[0]!));
    costs.push({ what, first_us: Math.round(median(first)), again_us: Math.round(median(again)) });
  }
  return costs;
}
