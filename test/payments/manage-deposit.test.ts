import { afterEach, describe, expect, it, vi } from 'vitest';
import type { TicketBrokerClient } from '../../src/chain/ticket-broker.ts';
import { encodeBrokerCall } from '../../src/keys/broker-transaction.ts';
import { callTicketBroker } from '../../src/payments/manage-deposit.ts';
import { addressFromBytes, fromHex, toHex } from '../../src/pm/bytes.ts';
import { keccak256 } from '../../src/pm/keccak256.ts';
import type { Refusal } from '../../src/pm/refusal.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { openTestGate, openTestProvider } from '../keys/open-test-gate.ts';

const broker = addressFromBytes(Uint8Array.of(7));
const call = { name: 'fundDeposit', deposit: 5n } as const;
const estimate = { nonce: 3, gasLimit: 9n, maxFeePerGas: 8n, maxPriorityFeePerGas: 2n };
const transaction = { chainId: 42_161, broker, ...estimate, call };
const refusal: Refusal = { code: 'TRANSACTION_NOT_ALLOWED', data: { field: 'function' } };

/** The operator's command, with what it did in order; the policy says no from the `refusedFrom`th time on. */
async function open({ isConfirmed = true, refusedFrom = Infinity } = {}) {
  const done: unknown[][] = [];
  const { provider, key } = await openTestProvider();
  const { gate, issue } = await openTestGate(provider);
  const chain = {
    chainId: 42_161,
    ticketBroker: broker,
    estimate: (...of: unknown[]) => {
      done.push(['estimate', ...of]);
      return Promise.resolve(estimate);
    },
    broadcast: (sent: unknown) => {
      done.push(['broadcast', sent]);
      return Promise.resolve();
    },
    waitForReceipt: (...of: unknown[]) => {
      done.push(['wait', ...of]);
      return Promise.resolve({ block: 11n, fee: 12n });
    },
  } as unknown as TicketBrokerClient;
  let asked = 0;
  const policy = {
    decideTransaction: (of: unknown) => {
      done.push(['decide', of]);
      asked += 1;
      return asked >= refusedFrom
        ? { kind: 'deny', refusal }
        : { kind: 'allow', grant: issue({ kind: 'broker-transaction', transaction }) };
    },
  } as unknown as Policy;
  const options = {
    confirm: (shown: unknown) => {
      done.push(['confirm', shown]);
      return Promise.resolve(isConfirmed);
    },
    onSigned: (hash: string) => void done.push(['signed', hash]),
    waitMs: 77,
  };
  return { key, gate, done, send: () => callTicketBroker({ chain, policy, gate }, call, options) };
}

describe('a call of the TicketBroker', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is tried out, decided, confirmed, decided again, signed in 30 s, told of, sent and waited for', async () => {
    const timeout = vi.spyOn(AbortSignal, 'timeout');
    const { gate, done, send } = await open();
    expect(await send()).toEqual({ block: 11n, fee: 12n });
    const hash = expect.stringMatching(/^0x[0-9a-f]{64}$/) as string;
    expect(done).toEqual([
      ['estimate', gate.address, encodeBrokerCall(call)],
      ['decide', transaction],
      ['confirm', transaction],
      ['decide', transaction],
      ['signed', hash],
      ['broadcast', { hash, signed: expect.stringMatching(/^0x02[0-9a-f]+$/) as string }],
      ['wait', hash, 77],
    ]);
    const [, told] = done[4] as [string, string];
    const [, sent] = done[5] as [string, { hash: string; signed: `0x${string}` }];
    expect([sent.hash, done[6]?.[1]]).toEqual([told, told]);
    expect(toHex(keccak256(fromHex(sent.signed)))).toBe(told);
    expect(timeout).toHaveBeenCalledWith(30_000);
  });

  it('is not signed where nobody confirms it', async () => {
    const { key, done, send } = await open({ isConfirmed: false });
    expect(await send()).toBeUndefined();
    expect(done.at(-1)).toEqual(['confirm', transaction]);
    expect(key.digests).toEqual([]);
  });

  it('is not shown where policy forbids it, nor signed where policy forbids it by then', async () => {
    for (const refusedFrom of [1, 2]) {
      const { key, done, send } = await open({ refusedFrom });
      await expect(send()).rejects.toMatchObject({
        code: 'TRANSACTION_NOT_ALLOWED',
        data: { field: 'function' },
      });
      expect(done.filter(([what]) => what === 'confirm')).toHaveLength(refusedFrom - 1);
      expect(key.digests).toEqual([]);
    }
  });

  it('has the key asked for no longer than that', async () => {
    const { key, send } = await open();
    vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort(new Error('too late')));
    await expect(send()).rejects.toThrow();
    expect(key.digests).toEqual([]);
  });
});
