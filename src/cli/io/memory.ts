// How much memory a process that serves or audits keeps for what is young: V8 lets it grow to 64 MiB, of which neither has any use.
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Two halves of 8 MiB: what a few dozen requests leave behind between two collections. */
const YOUNG_BYTES_MAX = 16 * 1024 * 1024;

/** An audit streams, and its threads have theirs: what grows last here is doubled once more. */
export const YOUNG_BYTES_OF_AUDIT = 4 * 1024 * 1024;

/** Lets the young generation grow until it is so large, and no further. It is for the whole process, so only its owner may. */
export function boundYoungGeneration(bytesMax = YOUNG_BYTES_MAX): void {
  let growing = true;
  // It shrinks where little happens, and must be able to grow again.
  new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    const mayGrow = young === undefined || young.space_size < bytesMax;
    if (mayGrow === growing) return;
    growing = mayGrow;
    setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
  }).observe({ entryTypes: ["gc"] });
}
