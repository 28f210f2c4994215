import { describe, expect, it } from 'vitest';
import { createStaticChain } from '../../src/chain/static.ts';
import { RecordsError } from '../../src/errors.ts';
import { type CallOptions, type KeyProvider, ProviderError } from '../../src/keys/provider.ts';
import { type Address, zeroBytes32 } from '../../src/pm/bytes.ts';
import { type HealthCheck, createReadinessCheck } from '../../src/admin/readiness.ts';

const chain = createStaticChain({
  chainId: 1,
  ticketBroker: `0x${'00'.repeat(20)}` as Address,
  facts: {
    l1Block: 1n,
    round: 1n,
    deposit: 1n,
    reserve: 1n,
    withdrawRound: 0n,
    lastInitializedRound: { round: 1n, blockHash: zeroBytes32 },
  },
});

let logged: [level: string, message: string, fields: object][] = [];

function openCheck(provider: Pick<KeyProvider, 'checkHealth'>, healthChecks: HealthCheck[] = []) {
  logged = [];
  return createReadinessCheck({
    provider,
    chain,
    healthChecks,
    log: (...line) => void logged.push(line),
  });
}

describe('readiness', () => {
  it('is given where the provider can’t be asked and nothing is read from a chain', async () => {
    expect(await openCheck({})()).toEqual({
      isReady: true,
      report: { ready: true, key: { ready: true, problem: undefined }, chain: { ready: true } },
    });
  });

  it('is denied with the code of what is wrong with the key, and no more than that', async () => {
    const checkHealth = () =>
      Promise.reject(new ProviderError('PROVIDER_UNAVAILABLE', 'slot 3 of hsm.internal is gone'));
    expect(await openCheck({ checkHealth })()).toEqual({
      isReady: false,
      report: {
        ready: false,
        key: { ready: false, problem: 'PROVIDER_UNAVAILABLE' },
        chain: { ready: true },
      },
    });
  });

  it('asks the device once, however many ask for it', async () => {
    const calls: CallOptions[] = [];
    const check = openCheck({
      checkHealth: (options) => Promise.resolve(void calls.push(options)),
    });
    await Promise.all([check(), check(), check()]);
    await check();
    expect(calls).toHaveLength(1);
  });

  it('is denied when the device does not answer in time', async () => {
    const checkHealth = ({ signal }: CallOptions) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () =>
          reject(new ProviderError('PROVIDER_TIMEOUT', 'no answer')),
        );
      });
    const { report } = await openCheck({ checkHealth })();
    expect(report).toMatchObject({ ready: false, key: { problem: 'PROVIDER_TIMEOUT' } });
  });

  it('is denied with the code of each part that can’t be used', async () => {
    const parts = [
      { name: 'audit', check: () => Promise.resolve() },
      {
        name: 'ledger',
        check: () =>
          Promise.reject(new RecordsError('LEDGER_UNAVAILABLE', 'redis.internal is gone')),
      },
    ];
    expect(await openCheck({}, parts)()).toMatchObject({
      isReady: false,
      report: {
        ready: false,
        audit: { ready: true },
        ledger: { ready: false, problem: 'LEDGER_UNAVAILABLE' },
      },
    });
  });

  it('says in the log what is wrong, once, and when it is over', async () => {
    let isDown = true;
    const check = () =>
      isDown
        ? Promise.reject(new RecordsError('AUDIT_UNAVAILABLE', 'no space left in /audit'))
        : Promise.resolve();
    const isReady = openCheck({}, [{ name: 'audit', check }]);
    await isReady();
    await isReady();
    isDown = false;
    await isReady();
    await isReady();
    expect(logged).toEqual([
      [
        'warn',
        'not ready',
        {
          part: 'audit',
          code: 'AUDIT_UNAVAILABLE',
          reason: 'RecordsError: no space left in /audit',
        },
      ],
      ['info', 'ready again', { part: 'audit' }],
    ]);
  });
});
