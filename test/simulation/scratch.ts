// Where files of simulations lie: in memory, where the system has such a place.
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";

export const SCRATCH = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
