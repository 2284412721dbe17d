// The thread that checks what other nodes send: it costs the deciding thread nothing.
import { workerData } from "node:worker_threads";
import { answerRequests } from "../../threads/threads.ts";
import type { IntakeData, IntakeReply, IntakeRequest } from "./messages.ts";
import { recordChecker } from "./record-checker.ts";

answerRequests<IntakeRequest, IntakeReply>(recordChecker(workerData as IntakeData));
