import { createMetrics } from '../../src/telemetry/metrics.ts';
import { cpuCost } from './cpu-cost.ts';
import { writeGuardedConfig } from './guarded-config.ts';
import { runLoad } from './load.ts';
import { type Scenario, formatNumber, median } from './result.ts';
import { localKeystore, startSignerProcess } from './signer-process.ts';

const rounds = 3;

/** What the metrics of a payment of one ticket cost, as a share of all the CPU that the payment takes, guarded and recorded. */
export const metrics: Scenario = async ({ folder, say }) => {
  const counted = createMetrics();
  const ofMetrics = cpuCost(() => {
    counted.keyUsed('local-keystore', 'ticket-batch', 'signed', 0.003);
    counted.dependencyAsked('audit', true, 0.001);
    counted.dependencyAsked('audit', true, 0.001);
    counted.dependencyAsked('ledger', true, 0.001);
    counted.rulesObserved([]);
    counted.paymentSigned({
      sender: '0xd580F60160D988Fa10140525e6a0F8194002F66A',
      type: 'fixed',
      tenant: 'acme',
      tickets: 1,
      ev: 1_000_000_000_000n,
      fee: 1_000_000_000_000n,
      seconds: 0.005,
    });
  });
  const guarded = writeGuardedConfig(folder);
  const signer = await startSignerProcess({ folder, key: localKeystore, guarded });
  const load = { kind: 'payments', connections: 16, tickets: 1, warmUpMs: 2_000 } as const;
  const costs: number[] = [];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}`);
      const to = { url: signer.url, apiKey: guarded.apiKey, durationMs: 3_000 };
      costs.push((await runLoad({ ...load, ...to }, signer.cpuMicroseconds)).cpuMicroseconds);
    }
  } finally {
    await signer.stop();
  }
  const ofPayment = median(costs);
  const percent = (100 * ofMetrics) / ofPayment;
  return {
    table: [
      ['', 'CPU µs'],
      ['a payment of one ticket', formatNumber(ofPayment)],
      ['its metrics', formatNumber(ofMetrics)],
    ],
    notes: ['a payment with API key, 50 rules, 3 windows and audit log, by the local keystore'],
    figures: [{ name: 'metrics, percent of a payment', value: percent, goal: { atMost: 2 } }],
  };
};
