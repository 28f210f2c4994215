import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { Connection } from '../bench/connection.ts';
import { PaymentSchema } from '../../src/wire/net_pb.ts';
import { digestsOf } from '../../src/keys/intents.ts';
import { usualManifestId } from '../payments/request-builder.ts';
import { firstPayment, nextPayment } from './guarded-signer.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('clients of one budget');

/** What the clients may be handed out together. */
export const budget = 1_000;

/** A policy file that allows everything, up to the budget. */
export const budgetPolicy = `default: allow
rules: [{ id: budget, window: { per: all, every: 1h, tickets: ${budget} } }]`;

export const clientCount = 64;
/** The most tickets in one payment. */
export const largestBatch = 5;

export type Spent = {
  /** tickets that the clients hold, each with a signature of its own */
  readonly tickets: number;
  readonly sessions: number;
  /** payments that were answered 503 and tried again */
  readonly failures: number;
};

type Answer = { readonly payment: string; readonly state: { State: string; Sig: string } };

/**
 * Has 64 clients, each with a session and a connection of its own, pay 1 to 5 tickets at a time until they are refused, spread
 * over the signers. What is answered 503 is tried again with another number.
 */
export async function spendBudget(urls: readonly string[], expiration?: bigint): Promise<Spent> {
  const signatures = new Set<string>();
  let tickets = 0;
  let sessions = 0;
  let failures = 0;

  async function client(url: string): Promise<void> {
    const connection = await Connection.open(url);
    const changes = {
      // tickets of its own
      ticketParams: { recipientRandHash: random.bytes(32) },
      ...(expiration !== undefined && { authToken: { expiration } }),
    };
    let state: Answer['state'] | undefined;
    try {
      for (;;) {
        const batch = 1 + random.int(largestBatch);
        const body = await (state
          ? nextPayment(state, batch, changes)
          : firstPayment(batch, changes));
        const { status, text } = await connection.post('/generate-live-payment', body);
        if (status === 429) {
          expect(text).toContain('denied by rule budget: no room is left in its limit of');
          return;
        }
        if (status === 503) {
          failures += 1;
          continue;
        }
        expect({ status, text }).toMatchObject({ status: 200 });
        const answer = JSON.parse(text) as Answer;
        const held = signaturesOf(answer);
        expect(held).toHaveLength(batch);
        for (const signature of held) signatures.add(signature);
        tickets += batch;
        if (!state) sessions += 1;
        state = answer.state;
      }
    } finally {
      connection.close();
    }
  }

  const clients = Array.from({ length: clientCount }, (_, index) =>
    client(urls[index % urls.length] ?? ''),
  );
  await Promise.all(clients);
  expect(signatures.size).toBe(tickets);
  return { tickets, sessions, failures };
}

function signaturesOf({ payment }: Answer): string[] {
  return fromBinary(PaymentSchema, Buffer.from(payment, 'base64')).ticketSenderParams.map(
    ({ sig }) => Buffer.from(sig).toString('hex'),
  );
}

const credentials = { kind: 'segment-credentials', manifestId: usualManifestId } as const;
const credentialsDigest = digestsOf(credentials).map(hex)[0];

/** Of what the key was asked to sign, how many were tickets. */
export function countTickets(digests: readonly Uint8Array[]): number {
  return digests.filter((digest) => hex(digest) !== credentialsDigest).length;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/**
 * That the budget was kept by what the clients hold, and by what the key was asked for where payments failed: used up but for
 * less than a batch, or where payments failed, less than one for each client.
 */
export function expectBudgetKept({ tickets, failures }: Spent, asked = tickets): void {
  expect(tickets).toBeLessThanOrEqual(asked);
  expect(asked).toBeLessThanOrEqual(budget);
  const unused = failures === 0 ? largestBatch : clientCount * largestBatch;
  expect(asked).toBeGreaterThan(budget - unused);
}
