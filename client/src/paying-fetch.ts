import { createPaymentSession } from './create-payment-session.ts';
import type { SignerClient } from './create-signer-client.ts';
import type { Fetch } from './fetch.ts';
import type { PaymentType } from './generate-live-payment.ts';
import { type PaymentChallenge, readPaymentChallenge } from './payment-challenge.ts';
import type { PaymentLoop } from './payment-loop.ts';
import type { PaymentSession } from './payment-session.ts';
import { refreshPayment } from './refresh-payment.ts';

/** A session that was paid for, and the loop that goes on paying; none for what has a fixed price. */
export type PaidSession = {
  readonly session: PaymentSession;
  readonly payments: PaymentLoop | undefined;
};

/** How runners are paid. */
export type PayingFetchOptions = {
  readonly client: SignerClient;
  /** What the runner bills by: the `type` of its `price` in discovery. */
  readonly type: PaymentType;
  readonly app?: string;
  /** The most that may be paid for a unit (a pixel, a second or a request), in wei; a fraction as decimal text. */
  readonly maxPrice?: bigint | string;
  /** Instead of the global `fetch`. */
  readonly fetch?: Fetch;
  /** From one payment to the next, for work that is billed by time; 3,000 if left out. */
  readonly everyMs?: number;
  /**
   * Takes over the payments of a reserved session, which goes on after the answer to its reservation: stop them when the work is
   * done. Without it they stop with the end of the answer's body.
   */
  readonly onSession?: (paid: PaidSession) => void;
};

const maxChallenges = 3;

/**
 * A `fetch` that pays live runners: when one answers 402 with its terms, it pays, and sends the request again. Work that is
 * billed by time is paid for until the whole answer was read, or its body was cancelled; when a payment fails for good, reading
 * the body fails with it.
 *
 * The function that it returns throws what payment sessions throw, and what `fetch` throws. A refusal of the paid request is a
 * `Response` like any other.
 *
 * @example
 * ```ts
 * import { createSignerClient, payingFetch } from 'livepeer-remote-signer-client';
 * import { orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const pay = payingFetch({ client, type: 'live', fetch: orchestratorFetch });
 * const answer = await pay('https://orchestrator.example:8935/apps/runner-1/app/', {
 *   method: 'POST',
 *   body: JSON.stringify({ prompt: 'a dragon' }),
 * });
 * console.log(answer.status, await answer.text());
 * ```
 */
export function payingFetch(options: PayingFetchOptions): Fetch {
  const { client, type, fetch: send = fetch, everyMs = 3_000, onSession } = options;
  return async (input, init) => {
    const request = new Request(input, init);
    const { signal } = request;
    const { address } = await client.signOrchestratorInfo({ signal });
    const ask = (headers: Readonly<Record<string, string>>): Promise<Response> => {
      const attempt = request.clone();
      attempt.headers.set('Livepeer-Payer-Address', address);
      for (const [name, value] of Object.entries(headers)) attempt.headers.set(name, value);
      return send(attempt);
    };
    let answer = await ask({});
    for (let challenges = 0; answer.status === 402 && challenges < maxChallenges; challenges += 1) {
      const paid = await payChallenge(options, await readPaymentChallenge(answer), ask, signal);
      const payments =
        type === 'fixed'
          ? undefined
          : paid.session.start({ everyMs, firstAfterMs: everyMs, signal });
      answer = await paid.answer.catch(async (error: unknown) => {
        await payments?.stop();
        throw error;
      });
      if (!answer.ok) {
        await payments?.stop();
        continue;
      }
      if (onSession !== undefined) onSession({ session: paid.session, payments });
      else if (payments !== undefined) return stopWithBody(answer, payments);
    }
    return answer;
  };
}

/** The first payment goes with the request that it is for; its answer may take long. */
async function payChallenge(
  { client, type, app, maxPrice, fetch }: PayingFetchOptions,
  challenge: PaymentChallenge,
  ask: (headers: Readonly<Record<string, string>>) => Promise<Response>,
  signal: AbortSignal,
): Promise<{ session: PaymentSession; answer: Promise<Response> }> {
  const session = createPaymentSession({
    client,
    type,
    ...(app !== undefined && { app }),
    ...(maxPrice !== undefined && { maxPrice }),
    challenge,
    fetch,
    refresh: async ({ isFirst, orchestratorUrl: url, manifestId }) => {
      if (isFirst) return readPaymentChallenge(await ask({}));
      const { address: sender } = await client.signOrchestratorInfo({ signal });
      return refreshPayment({ url, sender, manifestId, fetch, signal });
    },
  });
  let answer: Promise<Response> | undefined;
  await session.pay({
    signal,
    send: ({ headers }) => {
      answer = ask(headers);
      // whoever awaits it below sees the failure
      answer.catch(() => undefined);
      return Promise.resolve(undefined);
    },
  });
  if (answer === undefined) throw new Error('a first payment was not due');
  return { session, answer };
}

function stopWithBody(answer: Response, payments: PaymentLoop): Response {
  if (answer.body === null) {
    void payments.stop();
    return answer;
  }
  const reader = answer.body.getReader();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      void payments.ended.then((end) => {
        if (end.kind !== 'failed') return;
        controller.error(end.error);
        void reader.cancel(end.error).catch(() => undefined);
      });
    },
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) {
          controller.enqueue(value);
          return;
        }
        await payments.stop();
        controller.close();
      } catch (error) {
        await payments.stop();
        controller.error(error);
      }
    },
    async cancel(reason) {
      await payments.stop();
      await reader.cancel(reason);
    },
  });
  return new Response(body, answer);
}
