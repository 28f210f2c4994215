import { z } from 'zod';
import { RequestError } from '../errors.ts';
import { encodeBase64 } from '../wire/base64.ts';
import type { RequestedCapabilities } from '../wire/capabilities.ts';
import type { OrchestratorInfo } from '../wire/orchestrator-info.ts';
import { encodePayment } from '../wire/payment.ts';
import type { SignedPayment } from './sign-payment.ts';

const base64 = z.base64();

/** What a payment's answer holds. */
export const paymentAnswerSchema = z.strictObject({
  payment: base64.describe('protobuf `net.Payment`, for the header `Livepeer-Payment`'),
  segCreds: base64.describe('protobuf `net.SegData`, for the header `Livepeer-Segment`'),
  state: z
    .strictObject({
      State: base64.describe("the session's books"),
      Sig: base64.describe('what seals them'),
    })
    .describe("to be sent with the session's next payment, unchanged"),
});

/** A payment's answer as JSON, with the members in the order that go-livepeer writes them. */
export function encodePaymentAnswer(
  orchestrator: OrchestratorInfo,
  signed: SignedPayment,
  segCreds: Uint8Array,
): string {
  const answer: z.infer<typeof paymentAnswerSchema> = {
    payment: encodeBase64(encodePayment(orchestrator, signed.tickets)),
    segCreds: encodeBase64(segCreds),
    state: { State: encodeBase64(signed.state), Sig: encodeBase64(signed.seal) },
  };
  return JSON.stringify(answer);
}

/** The most bytes that an answer may copy from its request: answers are kept for repeats. */
const maxCopiedBytes = 32_768;

/** Throws `ANSWER_TOO_LARGE` where an answer to this request would copy too much of it. */
export function requireSmallAnswer(
  { copiedBytes }: OrchestratorInfo,
  capabilities: RequestedCapabilities | undefined,
): void {
  const bytes = copiedBytes + (capabilities?.copiedBytes ?? 0);
  if (bytes <= maxCopiedBytes) return;
  throw new RequestError(
    'ANSWER_TOO_LARGE',
    `auth token, price, seed and capabilities have ${bytes} bytes, and an answer may copy ${maxCopiedBytes}`,
  );
}
