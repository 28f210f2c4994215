import { recoverMessageAddress, toHex } from 'viem';
import { afterEach, describe, expect, it } from 'vitest';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';
import {
  type Paid,
  expectError,
  expectPaid,
  expectRefusal,
  masked503,
} from '../payments/expectations.ts';
import { buildRequest, usualNow, usualState } from '../payments/request-builder.ts';

import { vectors } from '../vectors/vectors.ts';

const open: TestSigner[] = [];
async function start(session: Record<string, unknown> = {}, options = {}): Promise<TestSigner> {
  const { settings, ...rest } = { settings: {}, ...options };
  const signer = await startTestSigner({ settings: { session, ...settings }, ...rest });
  signer.now = usualNow;
  open.push(signer);
  return signer;
}
afterEach(async () => {
  for (const signer of open.splice(0)) await signer.close();
});

const hour = 3600n * 1_000_000_000n;
const sizeOfSig = ({ sealed }: Paid) => Buffer.from(sealed.Sig, 'base64').length;

const begin = async (signer: TestSigner) =>
  expectPaid(await signer.post(await buildRequest({ state: null })));

async function proceed(signer: TestSigner, { sealed }: Paid, laterSeconds = 60n) {
  signer.now = usualNow + laterSeconds * 1_000_000_000n;
  signer.key.reset();
  return signer.post(await buildRequest({ state: null, body: { state: sealed } }));
}

describe('a session in a fleet', () => {
  it('goes on at any instance with the same key, without signing its credentials again', async () => {
    const [a, b] = [await start(), await start()];
    const first = await begin(a);
    const second = expectPaid(await proceed(b, first));
    expect(b.key.digests).toHaveLength(second.ticketCount);
    const third = expectPaid(await proceed(a, second, 120n));
    expect(a.key.digests).toHaveLength(third.ticketCount);
    expect([first, second, third].map(({ state }) => state['SequenceNumber'])).toEqual([
      '0',
      '1',
      '2',
    ]);
    expect(new Set([first, second, third].map(({ state }) => state['StateID'])).size).toBe(1);
  });

  it.each([
    ['another key', { privateKey: `0x${'11'.repeat(32)}` }],
    ['another chain', { settings: { chain: { ...vectorChain, chainId: 421_614 } } }],
    [
      'another TicketBroker',
      { settings: { chain: { ...vectorChain, ticketBroker: `0x${'11'.repeat(20)}` } } },
    ],
  ])('does not go on at one with %s', async (_, options) => {
    const [here, there] = [await start(), await start({}, options)];
    const first = await begin(here);
    expectRefusal(there, await proceed(there, first), 400, 'invalid sig');
    expectPaid(await proceed(here, first));
  });

  it('goes on where clocks differ by no more than the configured skew', async () => {
    const [here, there] = [await start(), await start({ clockSkewMs: 60_000 })];
    const first = await begin(here);
    there.sealNow = BigInt(Date.now()) * 1_000_000n - 50n * 1_000_000_000n;
    expectPaid(await proceed(there, first));
    there.sealNow -= 20n * 1_000_000_000n;
    expectRefusal(there, await proceed(there, first), 400, 'invalid sig');
  });

  it('is over when its state is older than the delegation it was sealed under', async () => {
    const here = await start();
    const first = await begin(here);
    here.sealNow = BigInt(Date.now()) * 1_000_000n + 9n * hour;
    expectRefusal(here, await proceed(here, first), 400, 'invalid sig');
  });
});

describe('an instance whose delegation has ended', () => {
  it('answers 503 and does not touch the key', async () => {
    const signer = await start();
    signer.key.reset();
    signer.sealNow = BigInt(Date.now()) * 1_000_000n + 8n * hour;
    const answer = await signer.post(await buildRequest({ state: null }));
    expectError(answer, 503, masked503);
    expect(signer.key.digests).toHaveLength(0);
    expect(signer.logLines.at(-1)).toMatchObject({ status: 503, code: 'STATE_DELEGATION_ENDED' });
    signer.sealNow = undefined;
    await begin(signer);
  });
});

describe('a fleet that moves', () => {
  /** Whether go-livepeer opens a state: the sender's personal message over its bytes, members of go-livepeer's own names. */
  async function isOpenedByGoLivepeer({ sealed, state }: Paid): Promise<boolean> {
    const signer = await recoverMessageAddress({
      message: { raw: Buffer.from(sealed.State, 'base64') },
      signature: toHex(Buffer.from(sealed.Sig, 'base64')),
    });
    expect(Object.keys(state)).toEqual(expect.arrayContaining(Object.keys(usualState)));
    return signer.toLowerCase() === vectors.key.address.toLowerCase();
  }

  it('goes both ways while both programs are behind one load balancer, as docs/migration.md has it', async () => {
    const moving = await start({ seal: 'key' });
    // the usual request has a state of go-livepeer's
    const here = expectPaid(await moving.post(await buildRequest()));
    expect(await isOpenedByGoLivepeer(here)).toBe(true);
    const moved = await start();
    const later = expectPaid(await proceed(moved, here));
    expect(sizeOfSig(later)).toBe(178);
    const back = expectPaid(await proceed(moving, later, 120n));
    expect(await isOpenedByGoLivepeer(back)).toBe(true);
  });

  it('from go-livepeer takes its sessions along', async () => {
    const signer = await start();
    const paid = expectPaid(await signer.post(await buildRequest()));
    expect(sizeOfSig(paid)).toBe(178);
  });

  it('back hands out states with the key’s seal, whatever the session had before', async () => {
    const [delegated, back] = [await start(), await start({ seal: 'key' })];
    const first = await begin(delegated);
    expect(sizeOfSig(first)).toBe(178);
    const second = expectPaid(await proceed(back, first));
    expect(sizeOfSig(second)).toBe(65);
    expect(back.key.digests).toHaveLength(second.ticketCount + 1);
    const third = expectPaid(await proceed(delegated, second, 120n));
    expect(sizeOfSig(third)).toBe(178);
    expect(delegated.key.digests).toHaveLength(third.ticketCount);
  });
});
