import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { programVersion } from '../../src/program-version.ts';
import {
  type MetricSpec,
  primaryMetrics,
  workerMetrics,
} from '../../src/telemetry/metric-table.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { renderMetrics } from '../../src/telemetry/render-metrics.ts';
import { withMetricTables } from '../docs/metrics-page.ts';
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
    metrics.watchSenders(() => [
      {
        address,
        sessionsInLastHour: 0,
        waitingCalls: 3,
        deposit: 5n * 10n ** 17n,
        reserve: 0n,
        members: [],
        chain,
      },
    ]);
    const text = await metrics.text();
    const values = [
      'chain_facts_age_seconds',
      'chain_facts_stale',
      'deposit_low',
      'reserve_low',
      'price_feed_age_seconds',
      'price_feed_stale',
      'deposit_wei',
      'reserve_wei',
      'key_calls_waiting',
    ].map((name) => sampleOf(text, `livepeer_hsm_signer_${name}{sender="${address}"}`));
    expect(values).toEqual([2.5, 1, 1, 0, 7300, 1, 5e17, 0, 3]);
  });

  it('of two workers are one worker’s where both tell the same, and the worse of two', async () => {
    const sender = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266';
    const snapshotOf = (waitingCalls: number, ageMs: number) => {
      const metrics = createMetrics();
      const chain = { ageMs, isFresh: false, isDepositLow: true, isReserveLow: ageMs > 2000 };
      const money = { deposit: 5n, reserve: 7n };
      const rest = { sessionsInLastHour: 0, members: [], ...money };
      metrics.watchSenders(() => [
        { address: sender, waitingCalls, ...rest, chain: { ...chain, priceFeed: undefined } },
      ]);
      return metrics.json();
    };
    const snapshots = await Promise.all([snapshotOf(3, 2500), snapshotOf(4, 1000)]);
    const { text } = await renderMetrics(snapshots, 'prometheus');
    const valueOf = (name: string) =>
      sampleOf(text, `livepeer_hsm_signer_${name}{sender="${sender}"}`);
    expect(['deposit_low', 'reserve_low', 'chain_facts_stale'].map(valueOf)).toEqual([1, 1, 1]);
    expect(valueOf('chain_facts_age_seconds')).toBe(2.5);
    expect(['deposit_wei', 'reserve_wei'].map(valueOf)).toEqual([5, 7]);
    expect(valueOf('key_calls_waiting')).toBe(7);
  });

  it('tell which build this is', async () => {
    const { signer, metrics } = await startMetricsSigner();
    const labels = `version="${programVersion()}",node="${process.version}",curve="libsecp256k1"`;
    expect(sampleOf(await metrics.text(), `livepeer_hsm_signer_build_info{${labels}}`)).toBe(1);
    await signer.close();
  });

  it('are told by docs/metrics.md as the program has them', () => {
    const document = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    expect(withMetricTables(document)).toBe(document);
  });

  it('are named in docs/metrics.md where several workers’ gauges are summed', () => {
    const document = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const [introduction = ''] = document.split('<!-- metrics: workers -->');
    const summed = Object.entries<MetricSpec>(workerMetrics)
      .filter(([, { type, together }]) => type === 'gauge' && (together ?? 'sum') === 'sum')
      .map(([name]) => name);
    const named = introduction.match(/`(?:livepeer|process)_\w+`/g) ?? [];
    expect(named.map((name) => name.slice(1, -1)).toSorted()).toEqual(summed.toSorted());
  });

  it('each say which question they answer, and belong to this program or are standard names', () => {
    for (const [name, { why, help }] of Object.entries({ ...workerMetrics, ...primaryMetrics })) {
      expect(name).toMatch(/^(livepeer_hsm_signer|process)_[a-z0-9_]+$/);
      expect(why).toMatch(/[?.]$/);
      expect(help).toMatch(/\.$/);
    }
  });

  it('tell at most 100 tenants apart', async () => {
    const metrics = createMetrics();
    const payment = { sender: '0x1', type: 'live', tickets: 1, fee: 7n, seconds: 0.1 };
    for (let tenant = 0; tenant < 150; tenant += 1) {
      metrics.paymentSigned({ ...payment, tenant: `t${tenant}`, ev: 10n });
    }
    metrics.paymentSigned({ ...payment, tenant: '', ev: 10n });
    const text = await metrics.text();
    const tenants = text.match(/^livepeer_hsm_signer_expected_value_wei_total\{.*$/gm) ?? [];
    expect(tenants).toHaveLength(101);
    const other = 'livepeer_hsm_signer_expected_value_wei_total{sender="0x1",tenant="other"}';
    expect(sampleOf(text, other)).toBe(510);
    expect(sampleOf(text, 'livepeer_hsm_signer_fees_wei_total{tenant="t0"}')).toBe(7);
  });

  it('come as OpenMetrics for whoever accepts that', async () => {
    const { signer, pay } = await startMetricsSigner();
    await pay();
    const read = async (headers: Record<string, string>) => {
      const answer = await fetch(`${signer.adminUrl}/metrics`, { headers });
      return { type: answer.headers.get('content-type'), text: await answer.text() };
    };
    const open = await read({ Accept: 'application/openmetrics-text;version=1.0.0,*/*;q=0.1' });
    expect(open.type).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    expect(open.text).toMatch(/^# TYPE livepeer_hsm_signer_payments counter$/m);
    expect(open.text).toMatch(/^livepeer_hsm_signer_payments_total\{.*\} 1$/m);
    expect(open.text).toMatch(/\n# EOF\n$/);
    const plain = await read({});
    expect(plain.type).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(plain.text).toMatch(/^# TYPE livepeer_hsm_signer_payments_total counter$/m);
    await signer.close();
  });
});
