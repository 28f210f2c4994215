import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/pm/bytes.ts';
import { digestsOfAnswer } from '../keys/answer-digests.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { type Paid, expectPaid } from './expectations.ts';
import { type Members, buildRequest, ticketsWorth, usualNow } from './request-builder.ts';

/** A pixel costs one ticket's expected value, so that as many tickets are due as pixels are paid for. */
const terms = {
  priceInfo: { pricePerUnit: 1n, pixelsPerUnit: 1n },
  ticketParams: ticketsWorth(1n),
};

async function payTickets(signer: TestSigner, tickets: number, body: Members, from?: Paid) {
  signer.key.reset();
  const answer = await signer.post(
    await buildRequest({
      ...terms,
      state: null,
      body: { type: '', inPixels: tickets, ...body, ...(from && { state: from.sealed }) },
    }),
  );
  const paid = expectPaid(answer);
  expect(paid.ticketCount).toBe(tickets);
  const digests = signer.key.digests.map((digest) => toHex(digest));
  expect(new Set(digests).size).toBe(digests.length);
  const own = digestsOfAnswer(answer.text);
  expect(digests).toEqual(expect.arrayContaining(own.tickets));
  return { ...paid, calls: digests.length, credentialsSig: toHex(own.credentialsSig) };
}

const counts = [1, 2, 5, 20, 100];

describe('key calls for a payment of N tickets', () => {
  let signer: TestSigner;
  beforeAll(async () => {
    signer = await startTestSigner();
    signer.now = usualNow;
  });
  afterAll(() => signer.close());

  it.each(counts)(
    'are N in a running session, N + 1 where the manifest id is new: %i',
    async (n) => {
      const first = await payTickets(signer, n, { ManifestID: 'a' });
      expect(first.calls).toBe(n + 1);
      const second = await payTickets(signer, n, { ManifestID: 'a' }, first);
      expect(second.calls).toBe(n);
      expect(second.credentialsSig).toBe(first.credentialsSig);
      const renamed = await payTickets(signer, n, { ManifestID: 'b' }, second);
      expect(renamed.calls).toBe(n + 1);
      expect(renamed.credentialsSig).not.toBe(first.credentialsSig);
      const last = await payTickets(signer, n, { ManifestID: 'b' }, renamed);
      expect(last.calls).toBe(n);
      expect(last.credentialsSig).toBe(renamed.credentialsSig);
    },
  );

  it.each(counts)(
    'are N + 1 for the first two when the client learns its id late: %i',
    async (n) => {
      const first = await payTickets(signer, n, { ManifestID: '' });
      expect(first.calls).toBe(n + 1);
      const second = await payTickets(signer, n, { ManifestID: 'learnt' }, first);
      expect(second.calls).toBe(n + 1);
      const third = await payTickets(signer, n, { ManifestID: 'learnt' }, second);
      expect(third.calls).toBe(n);
    },
  );

  it('are N with the id that the first answer gave out', async () => {
    const first = await payTickets(signer, 1, { ManifestID: '' });
    const second = await payTickets(signer, 1, { ManifestID: first.manifestId }, first);
    expect(second.calls).toBe(1);
  });

  it('are N in a session that go-livepeer began, once it has been continued here', async () => {
    signer.key.reset();
    const state = { Type: '', InitialPricePerUnit: 1, Balance: '0' };
    const body = { type: '', inPixels: 2 };
    const taken = expectPaid(await signer.post(await buildRequest({ ...terms, state, body })));
    expect(signer.key.digests).toHaveLength(2 + 1);
    const { manifestId } = taken;
    const next = await payTickets(signer, 2, { ManifestID: manifestId }, taken);
    expect(next.calls).toBe(2);
  });
});

describe.each([
  { session: { seal: 'key' }, first: 2, next: 1 },
  { session: { seal: 'key', fields: 'upstream' }, first: 2, next: 2 },
  { session: { fields: 'upstream' }, first: 1, next: 1 },
])('key calls besides the tickets, with $session', ({ session, first, next }) => {
  it.each(counts)(
    `are ${first} for the first payment and ${next} for the next: %i tickets`,
    async (n) => {
      const signer = await startTestSigner({ settings: { session } });
      signer.now = usualNow;
      try {
        const opened = await payTickets(signer, n, { ManifestID: 'a' });
        expect(opened.calls).toBe(n + first);
        const continued = await payTickets(signer, n, { ManifestID: 'a' }, opened);
        expect(continued.calls).toBe(n + next);
      } finally {
        await signer.close();
      }
    },
  );
});
