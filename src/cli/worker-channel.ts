import cluster, { type Worker } from 'node:cluster';
import type { ProcessStatus } from '../admin/signer-status.ts';

/** The questions that a primary process can ask its workers, with the form of the answers. */
export type WorkerAnswers = {
  /** prom-client's JSON */
  readonly metrics: readonly object[];
  readonly status: ProcessStatus;
};

type Kind = keyof WorkerAnswers;
type Question = { readonly ask: Kind; readonly question: number };
type Answer = { readonly answerTo: number; readonly answer: unknown };

/** How long a worker may take to answer; one that takes longer has ended, is stopped, or is busy. */
export const answerTimeoutMs = 1_000;

/** Makes this worker answer its primary's questions. */
export function answerPrimary(answers: {
  readonly [K in Kind]: () => Promise<WorkerAnswers[K]>;
}): void {
  process.on('message', (message: Partial<Question>) => {
    if (message.ask === undefined || message.question === undefined) return;
    const { question } = message;
    void answers[message.ask]().then((answer) => {
      // a worker whose primary has gone ends by itself
      if (process.connected) process.send?.({ answerTo: question, answer } satisfies Answer);
    });
  });
}

let questions = 0;
/** by the number of the question */
const asked = new Map<
  number,
  { readonly worker: number; readonly settle: (answer: unknown) => void }
>();

function hearAnswers(): void {
  cluster.on('message', (_worker, { answerTo = 0, answer }: Partial<Answer>) =>
    asked.get(answerTo)?.settle(answer),
  );
  cluster.on('exit', ({ id }) => {
    for (const { worker, settle } of asked.values()) if (worker === id) settle(undefined);
  });
}

/**
 * Asks all workers at once. The answers are by the worker's number in the cluster; workers that do not answer in time are left
 * out.
 */
export async function askWorkers<K extends Kind>(
  kind: K,
): Promise<ReadonlyMap<number, WorkerAnswers[K]>> {
  if (questions === 0) hearAnswers();
  const workers = Object.values(cluster.workers ?? {}).filter(
    (worker) => worker?.isConnected() === true,
  );
  const answers = new Map<number, WorkerAnswers[K]>();
  await Promise.all(
    workers.map(async (worker) => {
      const answer = worker && (await ask(worker, kind));
      if (worker && answer !== undefined) answers.set(worker.id, answer as WorkerAnswers[K]);
    }),
  );
  return answers;
}

async function ask(worker: Worker, kind: Kind): Promise<unknown> {
  const question = (questions += 1);
  const { promise, resolve } = Promise.withResolvers<unknown>();
  asked.set(question, { worker: worker.id, settle: resolve });
  const leave = (): void => resolve(undefined);
  const timer = setTimeout(leave, answerTimeoutMs);
  worker.send({ ask: kind, question } satisfies Question, (error) => error && leave());
  const answer = await promise;
  clearTimeout(timer);
  asked.delete(question);
  return answer;
}
