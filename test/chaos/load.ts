import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type PaidTicket, Session } from './payments.ts';

/** One in so many requests goes on with a session; the others are first payments. */
const sessionShare = 10;
const sessions = 5;
/** No answer by then counts as none. Longer than any deadline, so that a late answer is seen as late, on a busy machine too. */
const giveUpMs = 60_000;
const tickMs = 20;

/** What became of one request. Times are `performance.now()`. */
export type Attempt = {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
  /** undefined where no answer came */
  readonly status: number | undefined;
  /** why no answer came; undefined where one did */
  readonly failure: string | undefined;
  /** For how long this process was not run by the machine meanwhile. */
  readonly starvedMs: number;
  readonly retryAfter: string | undefined;
  /** with status 200 only */
  readonly paid: PaidTicket | undefined;
};

export type Load = {
  /** Answers so far, in the order in which they came. */
  readonly attempts: readonly Attempt[];
  /** Most requests that were under way at once, each on a connection of its own. */
  readonly mostAtOnce: () => number;
  /** For how long this process was not run by the machine so far. */
  readonly starvedMs: () => number;
  /** Sends no more, waits for the answers, and ends the connections. */
  stop(): Promise<void>;
};

/**
 * Pays at a fixed rate, whether or not earlier requests have been answered: independent first payments of one ticket, and
 * now and then the next payment of one of a few sessions.
 */
export function startLoad(url: string, paymentsPerSecond: number): Load {
  const agent = new Agent({ keepAlive: true });
  const attempts: Attempt[] = [];
  const underWay = new Set<Promise<void>>();
  const idleSessions = Array.from({ length: sessions }, () => new Session());
  const starvation = watchStarvation();
  let isOver = false;
  let mostAtOnce = 0;

  const pay = async (session: Session): Promise<void> => {
    const body = await session.buildRequest();
    const sentAtMs = performance.now();
    const starvedBeforeMs = starvation.totalMs();
    let failure: string | undefined;
    const answer = await post(`${url}/generate-live-payment`, body, agent).catch(
      (error: unknown) => {
        failure = String(error);
        return undefined;
      },
    );
    attempts.push({
      failure,
      starvedMs: starvation.totalMs() - starvedBeforeMs,
      sentAtMs,
      answeredAtMs: performance.now(),
      status: answer?.status,
      retryAfter: answer?.retryAfter,
      paid: answer?.status === 200 ? session.take(answer.text) : undefined,
    });
  };
  const payNext = async (count: number): Promise<void> => {
    const session = count % sessionShare === 0 ? idleSessions.shift() : undefined;
    await pay(session ?? new Session());
    if (session !== undefined) idleSessions.push(session);
  };
  const run = async (): Promise<void> => {
    const startedAtMs = performance.now();
    for (let count = 1; !isOver; count += 1) {
      const work = payNext(count).finally(() => underWay.delete(work));
      underWay.add(work);
      mostAtOnce = Math.max(mostAtOnce, underWay.size);
      const nextAtMs = startedAtMs + (1000 * count) / paymentsPerSecond;
      await delay(Math.max(0, nextAtMs - performance.now()));
    }
  };
  const running = run();
  return {
    attempts,
    mostAtOnce: () => mostAtOnce,
    starvedMs: () => starvation.totalMs(),
    stop: async () => {
      isOver = true;
      await running;
      await Promise.all(underWay);
      agent.destroy();
      starvation.stop();
    },
  };
}

/** Adds up by how much a timer is late: what the machine takes away from this process, and from its children alike. */
function watchStarvation(): { totalMs(): number; stop(): void } {
  let totalMs = 0;
  let lastMs = performance.now();
  const note = (): void => {
    const nowMs = performance.now();
    totalMs += Math.max(0, nowMs - lastMs - tickMs);
    lastMs = nowMs;
  };
  const timer = setInterval(note, tickMs);
  return { totalMs: () => totalMs, stop: () => clearInterval(timer) };
}

function post(
  url: string,
  body: string,
  agent: Agent,
): Promise<{ status: number | undefined; retryAfter: string | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', agent, signal: AbortSignal.timeout(giveUpMs) };
    const sent = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode,
          retryAfter: response.headers['retry-after'],
          text: Buffer.concat(chunks).toString(),
        });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
