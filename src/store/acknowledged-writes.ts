import { NotAcknowledged, describeFailure } from './redis-failure.ts';

/** What must have a write, besides the server's memory, before anything is built on it. */
export type Acknowledge = 'none' | 'aof' | { readonly replicas: number };

/** Less than a script's answer may take, so that a missing acknowledgement is known before that time is up. */
const acknowledgeTimeoutMs = 700;

type Send = (command: string[]) => Promise<unknown>;

type Waiting = {
  readonly command: string[];
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Sends commands together with a `WAIT` or `WAITAOF` for their acknowledgement, in one round trip over one connection: Redis
 * answers for the last write of the connection that asks. That blocks the connection meanwhile, so commands that come in that
 * time are sent together afterwards.
 */
export class AcknowledgedWrites {
  readonly #send: Send;
  readonly #acknowledge: Exclude<Acknowledge, 'none'>;
  #queue: Waiting[] = [];
  #isBusy = false;

  constructor(send: Send, acknowledge: Exclude<Acknowledge, 'none'>) {
    this.#send = send;
    this.#acknowledge = acknowledge;
  }

  /** Asks once, so that a server that can't acknowledge is found out at once. Rejects with the error that Redis answers. */
  async probe(): Promise<void> {
    await this.#send(acknowledgeCommand(this.#acknowledge, 1));
  }

  /** Resolves with the reply once it is acknowledged. Rejects with `NotAcknowledged`, or with the error that Redis answers. */
  send(command: string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ command, resolve, reject });
      // those of the same turn of the event loop go together
      if (!this.#isBusy) queueMicrotask(() => void this.#sendNext());
    });
  }

  async #sendNext(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#queue.length > 0) await this.#sendTogether(this.#queue.splice(0));
    this.#isBusy = false;
  }

  async #sendTogether(group: readonly Waiting[]): Promise<void> {
    const replies = Promise.allSettled(group.map(({ command }) => this.#send(command)));
    const problem = await this.#send(
      acknowledgeCommand(this.#acknowledge, acknowledgeTimeoutMs),
    ).then(
      (reply) => findProblem(this.#acknowledge, reply),
      (error: unknown) => describeFailure(error).message,
    );
    for (const [index, outcome] of (await replies).entries()) {
      const waiting = group[index];
      if (outcome.status === 'rejected') waiting?.reject(outcome.reason);
      else if (problem === undefined) waiting?.resolve(outcome.value);
      else waiting?.reject(new NotAcknowledged(`not acknowledged: ${problem}`, outcome.value));
    }
  }
}

function acknowledgeCommand(
  acknowledge: Exclude<Acknowledge, 'none'>,
  timeoutMs: number,
): string[] {
  return acknowledge === 'aof'
    ? ['WAITAOF', '1', '0', `${timeoutMs}`]
    : ['WAIT', `${acknowledge.replicas}`, `${timeoutMs}`];
}

/** https://redis.io/docs/latest/commands/wait/ and …/waitaof/: how many have it, for WAITAOF the server's own disk first */
function findProblem(
  acknowledge: Exclude<Acknowledge, 'none'>,
  reply: unknown,
): string | undefined {
  if (acknowledge === 'aof') {
    const [local] = Array.isArray(reply) ? (reply as unknown[]) : [];
    return local === 1 ? undefined : `the write was not on disk within ${acknowledgeTimeoutMs} ms`;
  }
  const { replicas } = acknowledge;
  if (typeof reply === 'number' && reply >= replicas) return undefined;
  return `${String(reply)} of ${replicas} replicas had the write within ${acknowledgeTimeoutMs} ms`;
}
