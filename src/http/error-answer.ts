import { z } from 'zod';
import { WebhookRejectionError } from '../auth/authorization.ts';
import { type ErrorCode, isSignerError } from '../errors.ts';
import { SessionRefreshError } from '../payments/refusal-error.ts';
import { formatGoJsonString } from '../wire/json.ts';
import { type Answer, json } from './send.ts';
import { statusOfError } from './status.ts';

/** go-livepeer shows no cause behind these two statuses. */
const masked: Readonly<Record<number, string>> = {
  500: 'Internal Server Error',
  503: 'Service Unavailable Error',
};

/** Whether an answer of this status tells the code: a pause is an operator's own doing, which go-livepeer has not. */
export function isCodeShown(code: ErrorCode, status: number): boolean {
  return masked[status] === undefined || code === 'SIGNING_PAUSED';
}

/** Whether an answer of this status says when to come again. */
export function isRetriedLater(status: number): boolean {
  return status === 429 || status === 503;
}

/** What answers that refuse hold. */
export const errorAnswerSchema = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    code: z.string().optional().describe("the auth webhook's own code, where it gave one"),
  }),
});

/** Where the error itself does not tell when to come again. */
const busyForSeconds = 1;

/**
 * The answer for whatever a handler threw: `{"error":{"message":…}}` and a line break, as go-livepeer writes it; the
 * code where the message is not masked and while signing is stopped, the orchestrator's URL where the session must be refreshed, how to authenticate on
 * 401, Retry-After on 429 and 503.
 */
export function answerError(error: unknown): Answer {
  const status = statusOfError(error);
  const message = masked[status] ?? (isSignerError(error) ? error.message : '');
  const headers: Record<string, string> = { ...json };
  if (error instanceof SessionRefreshError) {
    headers['Livepeer-Orchestrator-Url'] = toHeaderValue(error.orchestratorUrl);
  }
  // the webhook's own 401 goes out as go-livepeer passes it on
  if (status === 401 && !(error instanceof WebhookRejectionError)) {
    headers['WWW-Authenticate'] = 'Bearer';
  }
  if (isSignerError(error) && isCodeShown(error.code, status)) {
    headers['Livepeer-Signer-Code'] = error.code;
  }
  const known = isSignerError(error) ? error.data.retryAfterSeconds : undefined;
  const retryAfter = known ?? (isRetriedLater(status) ? busyForSeconds : undefined);
  if (retryAfter !== undefined) headers['Retry-After'] = `${retryAfter}`;
  const code =
    error instanceof WebhookRejectionError &&
    error.webhookCode !== undefined &&
    masked[status] === undefined
      ? `,"code":${formatGoJsonString(error.webhookCode)}`
      : '';
  const body = `{"error":{"message":${formatGoJsonString(message)}${code}}}\n`;
  return { status, headers, body };
}

/** Text from the caller as a header value: without control characters, as UTF-8 bytes, which node writes as Latin-1. */
function toHeaderValue(text: string): string {
  const printable = text.replace(/\p{Cc}/gu, '').trim();
  return Buffer.from(printable, 'utf8').toString('latin1');
}
