import { expect, it, onTestFinished } from 'vitest';
import { expectPaid } from '../payments/expectations.ts';
import { as, firstPayment, startGuardedSigner } from './guarded-signer.ts';

/** In ms, of 12 payments one after another. */
async function payTwelve(post: () => Promise<Parameters<typeof expectPaid>[0]>): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < 12; count += 1) {
    const startedMs = performance.now();
    expectPaid(await post());
    times.push(performance.now() - startedMs);
  }
  return times.toSorted((a, b) => a - b)[11] ?? Infinity;
}

it('600 open requests of one tenant cost another, on a key of 100 signatures a second, less than 3 times its time', async () => {
  const signer = await startGuardedSigner({ concurrency: 10, delayMs: 100 });
  onTestFinished(() => signer.close());
  const body = await firstPayment(1);
  const modest = () => signer.post(body, as('modest:1'));
  const aloneMs = await payTwelve(modest);
  const leaving = new AbortController();
  let open = 0;
  const flood = Array.from({ length: 600 }, async () => {
    while (!leaving.signal.aborted) {
      open += 1;
      await signer.post(body, as('greedy:1')).catch(() => undefined);
      open -= 1;
    }
  });
  await expect.poll(() => signer.key.digests.length).toBeGreaterThan(100);
  expect(open).toBeGreaterThan(500);
  const besideMs = await payTwelve(modest);
  leaving.abort();
  await Promise.all(flood);
  process.stdout.write(`longest of 12: alone ${aloneMs} ms, beside the flood ${besideMs} ms\n`);
  expect(besideMs).toBeLessThan(3 * aloneMs);
}, 120_000);
