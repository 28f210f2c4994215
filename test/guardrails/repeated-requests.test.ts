import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { vectors } from '../vectors/vectors.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { expectPaid, expectRefusal } from '../payments/expectations.ts';
import {
  type GuardedSigner,
  as,
  firstPayment,
  nextPayment,
  startGuardedSigner,
} from './guarded-signer.ts';

let signer: GuardedSigner;
afterEach(() => signer.close());

/** A KMS draws a new signature each time it is asked; so does this one. */
const draws = {
  reply: (bytes: Uint8Array) => ({ encoding: 'raw' as const, bytes }),
  delayMs: 30,
};

describe('a request that was made before, with the same state', () => {
  it('gets the same answer without a key call', async () => {
    signer = await startGuardedSigner(draws);
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const request = await nextPayment(first.sealed, 2);
    const answer = await signer.post(request);
    expectPaid(answer);
    signer.key.reset();
    signer.now = (signer.now ?? 0n) + 60_000_000_000n;
    const again = await signer.post(request);
    expect(again.text).toBe(answer.text);
    expect(signer.key.digests).toHaveLength(0);
    expect(signer.logLines.at(-1)).toMatchObject({ msg: 'answer repeated' });
  });

  it('waits for the answer while the first try is under way', async () => {
    signer = await startGuardedSigner(draws);
    const first = expectPaid(await signer.post(await firstPayment(1)));
    signer.key.reset();
    const request = await nextPayment(first.sealed, 2);
    const answers = await Promise.all(Array.from({ length: 50 }, () => signer.post(request)));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expectPaid(answers[0] ?? expect.unreachable());
    expect(signer.key.digests).toHaveLength(2);
  });

  it('is made anew when the first try came to nothing', async () => {
    let isBroken = false;
    signer = await startGuardedSigner({
      reply: (bytes) => {
        if (isBroken) throw new Error('the key is broken');
        return { encoding: 'raw', bytes };
      },
    });
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const request = await nextPayment(first.sealed, 2);
    isBroken = true;
    expect((await signer.post(request)).status).toBeGreaterThanOrEqual(500);
    isBroken = false;
    expectPaid(await signer.post(request));
  });
});

describe('another request with a state that was used before', () => {
  it('is paid, counted and recorded as a fork where forks are counted', async () => {
    const metrics = createMetrics();
    signer = await startGuardedSigner({ metrics });
    const first = expectPaid(await signer.post(await firstPayment(1)));
    expectPaid(await signer.post(await nextPayment(first.sealed, 1)));
    expect(signer.logLines.at(-1)).toMatchObject({ msg: 'payment signed', fork: false });
    expectPaid(await signer.post(await nextPayment(first.sealed, 2)));
    expect(signer.logLines.at(-1)).toMatchObject({ msg: 'payment signed', fork: true });
    expect(await metrics.text()).toMatch(/^livepeer_hsm_signer_forks_total 1$/m);
    const log = readFileSync(join(signer.folder, 'audit/server-1/000001.jsonl'), 'utf8');
    expect(log.match(/"fork":"true"/g)).toHaveLength(1);
  });

  it('is refused where forks are denied, until the session goes on with the last state', async () => {
    signer = await startGuardedSigner({ settings: { policy: { forks: 'deny' } } });
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const second = expectPaid(await signer.post(await nextPayment(first.sealed, 1)));
    signer.key.reset();
    const fork = await signer.post(await nextPayment(first.sealed, 2));
    expectRefusal(signer, fork, 403, 'another request has used this state before');
    expectPaid(await signer.post(await nextPayment(second.sealed, 2)));
  });

  it('is what another caller makes of the same request', async () => {
    signer = await startGuardedSigner({ settings: { policy: { forks: 'deny' } } });
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const request = await nextPayment(first.sealed, 1);
    expectPaid(await signer.post(request, { 'X-Api-Key': 'one' }));
    signer.key.reset();
    const stolen = await signer.post(request, { 'X-Api-Key': 'another' });
    expectRefusal(signer, stolen, 403, 'another request has used this state before');
  });

  it('leaves the state unused when it takes no tickets', async () => {
    signer = await startGuardedSigner({ settings: { policy: { forks: 'deny' } } });
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const early = await signer.post(await nextPayment(first.sealed, 0));
    expect(early.status).toBe(400);
    expectPaid(await signer.post(await nextPayment(first.sealed, 1)));
  });
});

describe('a request that was made before, where an auth webhook knows the callers', () => {
  it.each([
    ['anew for a caller without a credential', {}, 2],
    ['never for one with a credential', { Authorization: 'Bearer one' }, 1],
  ])('has the webhook asked %s', async (_, headers, asked) => {
    const webhook = await startAuthWebhook();
    signer = await startGuardedSigner({ settings: { auth: { webhook: { url: webhook.url } } } });
    const first = expectPaid(await signer.post(await firstPayment(1), headers));
    const request = await nextPayment(first.sealed, 2);
    webhook.asked.length = 0;
    const answers = [await signer.post(request, headers), await signer.post(request, headers)];
    await webhook.close();
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(webhook.asked).toHaveLength(asked);
  });
});

describe('a first payment with an Idempotency-Key', () => {
  const key = { 'Idempotency-Key': 'c0ffee-1' };

  it('gets the same answer without a key call, session and all', async () => {
    signer = await startGuardedSigner(draws);
    const request = await firstPayment(2);
    const answer = await signer.post(request, key);
    expectPaid(answer);
    signer.key.reset();
    expect((await signer.post(request, key)).text).toBe(answer.text);
    expect(signer.key.digests).toHaveLength(0);
    const other = await signer.post(request, { 'Idempotency-Key': 'c0ffee-2' });
    expect(other.text).not.toBe(answer.text);
  });

  it('is refused when another request used the key', async () => {
    signer = await startGuardedSigner();
    expectPaid(await signer.post(await firstPayment(2), key));
    signer.key.reset();
    const reused = await signer.post(await firstPayment(3), key);
    expectRefusal(signer, reused, 422, 'this Idempotency-Key was sent with another request before');
  });

  it('shares no key with another payer', async () => {
    signer = await startGuardedSigner();
    const request = await firstPayment(2);
    const one = await signer.post(request, { ...key, Authorization: 'Bearer one', ...as('a:1') });
    const two = await signer.post(request, { ...key, Authorization: 'Bearer two', ...as('b:2') });
    expect(expectPaid(two).sealed).not.toEqual(expectPaid(one).sealed);
  });

  it.each(['', 'with space', 'x'.repeat(256), 'ünicode'])(
    'is refused when the key is "%s"',
    async (bad) => {
      signer = await startGuardedSigner();
      const headers = { 'Idempotency-Key': Buffer.from(bad).toString('latin1') };
      const answer = await signer.post(await firstPayment(1), headers);
      expectRefusal(
        signer,
        answer,
        400,
        'Idempotency-Key must be given once, as 1 to 255 visible ASCII characters',
      );
    },
  );
});

describe('without memory for answers', () => {
  it('every request is made anew', async () => {
    signer = await startGuardedSigner({
      settings: { store: { kind: 'embedded', answersMaxBytes: 0 }, policy: { forks: 'deny' } },
    });
    signer.ids = [vectors.key.address.slice(2, 34)];
    const first = expectPaid(await signer.post(await firstPayment(1)));
    const request = await nextPayment(first.sealed, 1);
    expectPaid(await signer.post(request));
    signer.key.reset();
    expectPaid(await signer.post(request));
    expect(signer.key.digests).toHaveLength(1);
  });
});
