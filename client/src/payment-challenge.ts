import { OrchestratorRefusalError } from './errors.ts';
import { readErrorMessage } from './fetch.ts';
import { asObject, tryParseJson } from './wire/json.ts';

/** What a runner answers with 402 to whoever has not paid. */
export type PaymentChallenge = {
  /** `net.OrchestratorInfo` in base64. */
  readonly paymentParams: string;
  readonly manifestId: string;
  /** Where later payments of the session go. */
  readonly paymentUrl: string;
};

/**
 * Reads the challenge in a runner's 402. Throws `OrchestratorRefusalError` where the answer is none.
 *
 * @example
 * ```ts
 * import { createSignerClient, readPaymentChallenge } from 'livepeer-remote-signer-client';
 * import { orchestratorFetch } from 'livepeer-remote-signer-client/node';
 *
 * const client = createSignerClient({ url: 'http://127.0.0.1:7936' });
 * const { address } = await client.signOrchestratorInfo();
 * const runner = 'https://orchestrator.example:8935/apps/runner-1/session';
 * const answer = await orchestratorFetch(runner, {
 *   method: 'POST',
 *   headers: { 'Livepeer-Payer-Address': address },
 * });
 * const { manifestId, paymentUrl } = await readPaymentChallenge(answer);
 * console.log(`session ${manifestId} is paid at ${paymentUrl}`);
 * ```
 */
export async function readPaymentChallenge(answer: Response): Promise<PaymentChallenge> {
  const text = await answer.text();
  const challenge = parsePaymentChallenge(text);
  if (answer.status !== 402 || challenge === undefined) {
    throw new OrchestratorRefusalError(answer.status, readErrorMessage(text));
  }
  return challenge;
}

/** Reads a challenge from the text of an answer; undefined where it is none. */
export function parsePaymentChallenge(text: string): PaymentChallenge | undefined {
  const members = asObject(tryParseJson(text));
  const paymentParams = members?.['payment_params'];
  const manifestId = members?.['manifest_id'];
  const paymentUrl = members?.['payment_url'];
  return isText(paymentParams) && isText(manifestId) && isText(paymentUrl)
    ? { paymentParams, manifestId, paymentUrl }
    : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
