// The committer's thread. Nothing else writes the database.
import { parentPort, workerData } from "node:worker_threads";
import { commitEvidence } from "./committing.ts";
import type { CommitterData } from "./messages.ts";

commitEvidence(workerData as CommitterData, parentPort!);
