// What a node does in the background: each service is started when it is open, and stopped before it closes.

export interface Service {
  start(): void | Promise<void>;
  /** Resolves when nothing of it is under way any more. */
  stop(): Promise<void>;
}

/** Does something again and again, never twice at once, and keeps no process alive for it. @param work MUST NOT reject. */
export function every(ms: number, work: () => Promise<void> | void): Service {
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  return {
    start: () => {
      timer = setInterval(() => {
        underWay ??= Promise.resolve(work()).finally(() => (underWay = undefined));
      }, ms).unref();
    },
    stop: async () => {
      clearInterval(timer);
      await underWay;
    },
  };
}
