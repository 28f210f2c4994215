import { describe, expect, it } from 'vitest';
import { createStaticChain } from '../../src/chain/static.ts';
import { RecordsError } from '../../src/errors.ts';
import { ProviderError } from '../../src/keys/provider.ts';
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
    claimedInRound: 0n,
    withdrawRound: 0n,
    lastInitializedRound: { round: 1n, blockHash: zeroBytes32 },
    weiPerUsd: undefined,
  },
});

let logged: [level: string, message: string, fields: object][] = [];

function openCheck(checkKey: () => Promise<void>, healthChecks: HealthCheck[] = []) {
  logged = [];
  return createReadinessCheck({
    checkKey,
    chain,
    healthChecks,
    log: (...line) => void logged.push(line),
  });
}

const signs = () => Promise.resolve();

describe('readiness', () => {
  it('is given where the key signs and nothing is read from a chain', async () => {
    const { isReady, parts } = await openCheck(signs)();
    expect(isReady).toBe(true);
    expect(parts.map(({ name, code }) => [name, code])).toEqual([
      ['key', undefined],
      ['chain', undefined],
    ]);
  });

  it('is denied with the code of what is wrong with the key, and why', async () => {
    const checkKey = () =>
      Promise.reject(new ProviderError('PROVIDER_UNAVAILABLE', 'slot 3 of hsm.internal is gone'));
    const { isReady, parts } = await openCheck(checkKey)();
    expect(isReady).toBe(false);
    const reason = 'slot 3 of hsm.internal is gone';
    expect(parts).toMatchObject([
      { name: 'key', isReady: false, code: 'PROVIDER_UNAVAILABLE', reason },
      { name: 'chain', isReady: true },
    ]);
  });

  it('tells nothing of an error that is not the signer’s own', async () => {
    const checkKey = () => Promise.reject(new TypeError('token=hunter2 is no number'));
    const { parts } = await openCheck(checkKey)();
    expect(parts[0]).toMatchObject({ code: 'INTERNAL', reason: 'TypeError' });
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
    expect(await openCheck(signs, parts)()).toMatchObject({
      isReady: false,
      parts: [
        { name: 'key' },
        { name: 'chain' },
        { name: 'audit', isReady: true },
        { name: 'ledger', isReady: false, code: 'LEDGER_UNAVAILABLE' },
      ],
    });
  });

  it('says in the log what is wrong, once, and when it is over', async () => {
    let isDown = true;
    const check = () =>
      isDown
        ? Promise.reject(new RecordsError('AUDIT_UNAVAILABLE', 'no space left in /audit'))
        : Promise.resolve();
    const isReady = openCheck(signs, [{ name: 'audit', check }]);
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
          reason: 'no space left in /audit',
        },
      ],
      ['info', 'ready again', { part: 'audit' }],
    ]);
  });
});
