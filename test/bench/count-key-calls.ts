import { startTestSigner } from '../support/test-signer.ts';
import { PayingSession } from './paying-session.ts';

/** Key calls of one payment, counted at the provider. */
export type KeyCalls = {
  readonly tickets: number;
  /** the first payment of a session */
  readonly first: number;
  /** each later payment, with the manifest id unchanged */
  readonly running: readonly number[];
};

const runningPayments = 3;

/** Pays with so many tickets, a session's first payment and some more, and counts what the key was asked. */
export async function countKeyCalls(ticketCounts: readonly number[]): Promise<KeyCalls[]> {
  const signer = await startTestSigner();
  try {
    const counted: KeyCalls[] = [];
    for (const tickets of ticketCounts) {
      const session = new PayingSession(tickets);
      const calls: number[] = [];
      for (let payment = 0; payment <= runningPayments; payment += 1) {
        signer.key.reset();
        const { status, text } = await signer.post(session.request());
        if (status !== 200) throw new Error(`status ${status}: ${text}`);
        session.take(text);
        calls.push(signer.key.digests.length);
      }
      const [first = 0, ...running] = calls;
      counted.push({ tickets, first, running });
    }
    return counted;
  } finally {
    await signer.close();
  }
}
