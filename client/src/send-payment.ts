import { OrchestratorRefusalError } from './errors.ts';
import { bodyText, exchange, type Fetch, readErrorMessage } from './fetch.ts';
import { bytesOf, messageOf, readMessage } from './wire/protobuf.ts';

/** What an orchestrator is paid with. */
export type Payment = {
  readonly payment: string;
  readonly segCreds: string;
  /** Both as the headers of a request to the orchestrator. */
  readonly headers: {
    readonly 'Livepeer-Payment': string;
    readonly 'Livepeer-Segment': string;
  };
};

/** What goes where. */
export type SendPaymentOptions = {
  /** The whole URL, `/payment` included. */
  readonly url: string;
  readonly payment: Payment;
  /** Instead of the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /** 5,000 if left out. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** What came back for a payment. */
export type SentPayment = {
  /** The orchestrator's `net.OrchestratorInfo` for the next payment, if it sent one. */
  readonly orchestrator: Uint8Array | undefined;
};

/**
 * Sends a payment to the orchestrator. Sessions do it by themselves. Throws `OrchestratorRefusalError`,
 * `OrchestratorUnreachableError` and the reason of an aborted `signal`.
 *
 * @example
 * ```ts
 * import { createPaymentSession, createSignerClient, sendPayment } from 'livepeer-remote-signer-client';
 * import { getOrchestratorInfo, orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const orchestrator = await getOrchestratorInfo({ client, url: 'https://orchestrator.example:8935' });
 * const session = createPaymentSession({
 *   client,
 *   type: 'live',
 *   orchestrator,
 *   send: async (payment, { url, signal }) => {
 *     console.log(`${payment.payment.length} characters go to ${url}`);
 *     return sendPayment({ url, payment, signal, fetch: orchestratorFetch });
 *   },
 * });
 * await session.pay();
 * ```
 */
export async function sendPayment(options: SendPaymentOptions): Promise<SentPayment> {
  const { url, payment, fetch, timeoutMs = 5_000, signal } = options;
  const answer = await exchange({
    party: 'orchestrator',
    fetch,
    url,
    method: 'POST',
    headers: payment.headers,
    timeoutMs,
    signal,
  });
  if (answer.status !== 200) {
    throw new OrchestratorRefusalError(answer.status, readErrorMessage(bodyText(answer)));
  }
  return { orchestrator: readNextTerms(answer.body) };
}

const infoOfPaymentResult = 16;
const ticketParams = 2;

/** The info in a `net.PaymentResult`; undefined where there is none to pay by. */
function readNextTerms(body: Uint8Array): Uint8Array | undefined {
  try {
    const info = bytesOf(readMessage(body), infoOfPaymentResult);
    return messageOf(readMessage(info), ticketParams) && info;
  } catch {
    return undefined;
  }
}
