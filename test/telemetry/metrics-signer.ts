import { startTestSigner } from '../support/test-signer.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { vectors } from '../vectors/vectors.ts';
import { parseGoTime } from '../../src/wire/go-time.ts';

/** A signer whose metrics can be read, with a payment of the vectors and a request that is refused. */
export async function startMetricsSigner() {
  const metrics = createMetrics();
  const signer = await startTestSigner({ metrics });
  const [payment] = vectors.endToEnd.cases;
  const now = parseGoTime(payment?.now ?? '');
  if (!payment || typeof now !== 'bigint') throw new Error('no payment among the vectors');
  signer.now = now;
  const post = async (body: string, status: number): Promise<void> => {
    const answer = await signer.post(body);
    if (answer.status !== status) throw new Error(`${answer.status}: ${answer.text}`);
  };
  return {
    signer,
    metrics,
    pay: () => post(payment.requestBody, 200),
    refuse: () => post('no JSON', 400),
  };
}
