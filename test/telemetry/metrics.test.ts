import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { programVersion } from '../../src/program-version.ts';
import { createEventMetrics } from '../../src/telemetry/event-metrics.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { startMetricsSigner } from './metrics-signer.ts';

/** The value of one sample of a Prometheus text; undefined when there is none. */
function sampleOf(text: string, sample: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}

describe('metrics', () => {
  it('count payments and tickets by sender, and refusals by code', async () => {
    const { signer, metrics, pay, refuse } = await startMetricsSigner();
    await pay();
    await pay();
    await refuse();
    const text = await metrics.text();
    const sender = signer.checksumAddress;
    const payments = `livepeer_hsm_signer_payments_total{sender="${sender}",type="live-video-to-video"}`;
    expect(sampleOf(text, payments)).toBe(2);
    expect(sampleOf(text, `livepeer_hsm_signer_tickets_total{sender="${sender}"}`)).toBe(6);
    expect(sampleOf(text, 'livepeer_hsm_signer_refusals_total{code="BODY_MALFORMED"}')).toBe(1);
    expect(sampleOf(text, 'livepeer_hsm_signer_payment_duration_seconds_count')).toBe(2);
    expect(sampleOf(text, `livepeer_hsm_signer_sessions_in_last_hour{sender="${sender}"}`)).toBe(2);
    await signer.close();
  });

  it('tell of a low deposit, and of stale facts and prices', async () => {
    const metrics = createMetrics();
    const address = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266';
    const priceFeed = { isFresh: false, answer: { ageMs: 7_300_000 } };
    const chain = {
      ageMs: 2500,
      isFresh: false,
      isDepositLow: true,
      isReserveLow: false,
      priceFeed,
    };
    metrics.watchSenders(() => [{ address, sessionsInLastHour: 0, chain }]);
    const text = await metrics.text();
    const values = [
      'chain_facts_age_seconds',
      'chain_facts_stale',
      'deposit_low',
      'reserve_low',
      'price_feed_age_seconds',
      'price_feed_stale',
    ].map((name) => sampleOf(text, `livepeer_hsm_signer_${name}{sender="${address}"}`));
    expect(values).toEqual([2.5, 1, 1, 0, 7300, 1]);
  });

  it('tell which build this is', async () => {
    const { signer, metrics } = await startMetricsSigner();
    const labels = `version="${programVersion()}",node="${process.version}",curve="libsecp256k1"`;
    expect(sampleOf(await metrics.text(), `livepeer_hsm_signer_build_info{${labels}}`)).toBe(1);
    await signer.close();
  });

  it('are the ones of docs/metrics.md', async () => {
    const document = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = [...document.matchAll(/^\| `(livepeer_hsm_signer_\w+)` \| (\w+)/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    const texts = [await createMetrics().text(), await createEventMetrics(() => []).text()];
    const exposed = [...texts.join('\n').matchAll(/^# TYPE (\w+ \w+)$/gm)].map(([, type]) => type);
    expect(exposed).toEqual(documented);
  });
});
