import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { PaymentSchema, SegDataSchema } from '../../src/wire/net_pb.ts';
import type { TestAnswer, TestSigner } from '../support/test-signer.ts';

const goEscapes: Readonly<Record<string, string>> = {
  '<': String.raw`\u003c`,
  '>': String.raw`\u003e`,
  '&': String.raw`\u0026`,
};

/** The error envelope, byte for byte as Go writes it. */
export function envelope(message: string): string {
  const text = JSON.stringify(message).replace(/[<>&]/g, (found) => goEscapes[found] ?? found);
  return `{"error":{"message":${text}}}\n`;
}

export const masked500 = 'Internal Server Error';
export const masked503 = 'Service Unavailable Error';

/** Status, headers and whole body of an error answer. A pattern is for texts the protocol leaves open. */
export function expectError(answer: TestAnswer, status: number, message: string | RegExp): void {
  const text =
    typeof message === 'string'
      ? message
      : String((JSON.parse(answer.text) as { error: { message: unknown } }).error.message);
  expect({ status: answer.status, text: answer.text }).toEqual({ status, text: envelope(text) });
  if (message instanceof RegExp) expect(text).toMatch(message);
  expect(answer.headers.get('content-type')).toBe('application/json');
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  expect(answer.headers.has('livepeer-orchestrator-url')).toBe(status === 480);
  expect(answer.headers.get('retry-after')).toBe(status === 503 ? '1' : null);
}

/** An error answer for which the key was not asked once since the last reset. */
export function expectRefusal(
  signer: TestSigner,
  answer: TestAnswer,
  status: number,
  message: string | RegExp,
): void {
  expectError(answer, status, message);
  expect(signer.key.digests).toHaveLength(0);
}

export type Paid = {
  readonly ticketCount: number;
  readonly nonces: readonly number[];
  readonly manifestId: string;
  /** members of the sealed state; integers as written */
  readonly state: Readonly<Record<string, string>>;
  /** as the answer has it, to be sent again */
  readonly sealed: { readonly State: string; readonly Sig: string };
};

/** What an answer of status 200 holds. */
export function expectPaid(answer: TestAnswer): Paid {
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  expect(answer.headers.get('content-type')).toBe('application/json');
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  expect(answer.text).toMatch(/^\{"payment":"[^"]+","segCreds":"[^"]+","state":\{.*\}\}\n$/);
  const { payment, segCreds, state } = JSON.parse(answer.text) as {
    payment: string;
    segCreds: string;
    state: Paid['sealed'];
  };
  const tickets = fromBinary(PaymentSchema, Buffer.from(payment, 'base64')).ticketSenderParams;
  const credentials = fromBinary(SegDataSchema, Buffer.from(segCreds, 'base64'));
  return {
    ticketCount: tickets.length,
    nonces: tickets.map(({ senderNonce }) => senderNonce),
    manifestId: Buffer.from(credentials.manifestId).toString(),
    state: readMembers(Buffer.from(state.State, 'base64').toString()),
    sealed: state,
  };
}

function readMembers(json: string): Record<string, string> {
  const keepDigits = (_key: string, value: unknown, { source }: { source?: string }): unknown =>
    typeof value === 'number' ? source : value;
  const parse = JSON.parse as (text: string, reviver: typeof keepDigits) => Record<string, string>;
  return parse(json, keepDigits);
}
