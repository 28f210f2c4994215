import {
  decodeFunctionData,
  encodeFunctionData,
  hashMessage,
  keccak256,
  parseTransaction,
  recoverTransactionAddress,
  serializeTransaction,
} from 'viem';
import { describe, expect, it } from 'vitest';
import {
  type BrokerCall,
  type BrokerTransaction,
  encodeBrokerCall,
  encodeSignedBrokerTransaction,
} from '../../src/keys/broker-transaction.ts';
import { openKeyGate } from '../../src/keys/gate.ts';
import { noJournal } from '../../src/keys/key-journal.ts';
import { createPolicyWithoutRules } from '../policy/no-rules.ts';
import { digestsOf } from '../../src/keys/intents.ts';
import { type Address, addressFromBytes, fromHex, toHex } from '../../src/pm/bytes.ts';
import { describeRefusal } from '../../src/policy/describe-refusal.ts';
import { type TransactionRules, refuseTransaction } from '../../src/policy/transactions.ts';
import { livepeerAbi } from '../support/livepeer-contracts.ts';
import { vectors } from '../vectors/vectors.ts';
import { never, openTestGate, openTestProvider } from './open-test-gate.ts';
import { fc } from '../support/fast-check.ts';

const broker = addressFromBytes(new Uint8Array(20).fill(0xb));
const elsewhere = addressFromBytes(new Uint8Array(20).fill(0xe));
const rules: TransactionRules = { chainId: 42161, broker, maxFee: 10n ** 15n };

const good: BrokerTransaction = {
  chainId: 42161,
  broker,
  nonce: 3,
  gasLimit: 200_000n,
  maxFeePerGas: 10n ** 9n,
  maxPriorityFeePerGas: 1n,
  call: { name: 'fundDepositAndReserve', deposit: 5n * 10n ** 17n, reserve: 10n ** 18n },
};

const anyAmount = fc.bigInt(0n, 2n ** 200n);
const anyCall: fc.Arbitrary<BrokerCall> = fc.oneof(
  fc.record({ name: fc.constant('fundDeposit' as const), deposit: anyAmount }),
  fc.record({ name: fc.constant('fundReserve' as const), reserve: anyAmount }),
  fc.record({
    name: fc.constant('fundDepositAndReserve' as const),
    deposit: anyAmount,
    reserve: anyAmount,
  }),
  fc.record({ name: fc.constantFrom('unlock' as const, 'cancelUnlock', 'withdraw') }),
);
const anyTransaction: fc.Arbitrary<BrokerTransaction> = fc.record({
  chainId: fc.integer({ min: 1, max: 2 ** 31 }),
  broker: fc.uint8Array({ minLength: 20, maxLength: 20 }).map(addressFromBytes),
  nonce: fc.nat(),
  gasLimit: fc.bigInt(0n, 2n ** 63n),
  maxFeePerGas: fc.bigInt(2n ** 40n, 2n ** 80n),
  maxPriorityFeePerGas: fc.bigInt(0n, 2n ** 40n),
  call: anyCall,
});

/** The same transaction, made by viem from the contract's interface. */
function asViem({ broker: to, call, gasLimit: gas, ...fees }: BrokerTransaction) {
  const { name: functionName, ...amounts } = call;
  const { deposit = 0n, reserve = 0n }: { deposit?: bigint; reserve?: bigint } = amounts;
  const data =
    functionName === 'fundDepositAndReserve'
      ? encodeFunctionData({ abi: livepeerAbi, functionName, args: [deposit, reserve] })
      : encodeFunctionData({ abi: livepeerAbi, functionName });
  return {
    type: 'eip1559' as const,
    ...fees,
    to,
    gas,
    value: deposit + reserve,
    data,
  };
}

describe('a transaction to the TicketBroker', () => {
  it.each<[selector: string, BrokerCall]>([
    ['0x6caa736b', { name: 'fundDeposit', deposit: 1n }],
    ['0x6f9c3c8f', { name: 'fundReserve', reserve: 1n }],
    ['0x511f4073', { name: 'fundDepositAndReserve', deposit: 1n, reserve: 2n }],
    ['0xa69df4b5', { name: 'unlock' }],
    ['0xc2c4c2c8', { name: 'cancelUnlock' }],
    ['0x3ccfd60b', { name: 'withdraw' }],
  ])('has the selector %s of its function', (selector, call) => {
    const { data } = encodeBrokerCall(call);
    expect(data.slice(0, 10)).toBe(selector);
    expect(decodeFunctionData({ abi: livepeerAbi, data }).functionName).toBe(call.name);
  });

  it('sends the sum of its amounts along, and nothing where there are none', () => {
    expect(encodeBrokerCall(good.call).value).toBe(15n * 10n ** 17n);
    expect(encodeBrokerCall({ name: 'fundReserve', reserve: 7n }).value).toBe(7n);
    expect(encodeBrokerCall({ name: 'withdraw' }).value).toBe(0n);
  });

  it('is hashed as viem hashes it', () => {
    fc.assert(
      fc.property(anyTransaction, (transaction) => {
        const [digest] = digestsOf({ kind: 'broker-transaction', transaction });
        expect(toHex(digest ?? new Uint8Array())).toBe(
          keccak256(serializeTransaction(asViem(transaction))),
        );
      }),
    );
  });

  it('is the key’s and unchanged when it has been signed', async () => {
    const { provider } = await openTestProvider();
    const { gate, issue } = await openTestGate(provider);
    await fc.assert(
      fc.asyncProperty(anyTransaction, async (transaction) => {
        const grant = issue({ kind: 'broker-transaction', transaction });
        const [signature = new Uint8Array()] = await gate.sign(grant, { signal: never });
        const serialized = encodeSignedBrokerTransaction(transaction, signature) as `0x02${string}`;
        expect(await recoverTransactionAddress({ serializedTransaction: serialized })).toBe(
          vectors.key.address,
        );
        const { r, s, yParity, ...unsigned } = parseTransaction(serialized);
        expect(serializeTransaction(unsigned)).toBe(serializeTransaction(asViem(transaction)));
        expect([r, s, yParity]).not.toContain(undefined);
      }),
      { numRuns: 30 },
    );
  });

  it('goes nowhere else, whatever fields it is given beside its own', () => {
    const forged: BrokerTransaction = Object.assign(
      {},
      good,
      { to: elsewhere, data: '0xdeadbeef', value: 1n, gas: 1n, input: '0xdeadbeef' },
      { call: { ...good.call, data: '0xdeadbeef', value: 1n, to: elsewhere } },
    );
    expect(digestsOf({ kind: 'broker-transaction', transaction: forged })).toEqual(
      digestsOf({ kind: 'broker-transaction', transaction: good }),
    );
  });

  it('never has the digest of a personal message over the same bytes', () => {
    fc.assert(
      fc.property(anyTransaction, (transaction) => {
        const serialized = serializeTransaction(asViem(transaction));
        const [digest = new Uint8Array()] = digestsOf({ kind: 'broker-transaction', transaction });
        const state = fromHex(serialized);
        expect(digestsOf({ kind: 'session-state', state })).not.toContainEqual(digest);
        expect(hashMessage({ raw: keccak256(serialized) })).not.toBe(toHex(digest));
        // EIP-2718 type against the first byte of EIP-191's prefix
        expect([state[0], '\x19'.charCodeAt(0)]).toEqual([0x02, 0x19]);
      }),
    );
  });
});

type Denial = {
  readonly what: string;
  readonly transaction: BrokerTransaction;
  readonly says: string;
  readonly code?: string;
};

const otherFunction = (name: string): BrokerTransaction => ({
  ...good,
  call: { name } as unknown as BrokerCall,
});

const denials: readonly Denial[] = [
  {
    what: 'for another chain',
    transaction: { ...good, chainId: 1 },
    says: 'is for chain 1, not for chain 42161',
  },
  {
    what: 'to another address',
    transaction: { ...good, broker: elsewhere },
    says: `goes to ${elsewhere}, not to the TicketBroker ${broker}`,
  },
  ...[
    'redeemWinningTicket',
    'fundDepositAndReserveFor',
    'transfer',
    'constructor',
    '__proto__',
  ].map((name) => ({
    what: `of the function ${name}`,
    transaction: otherFunction(name),
    says: 'the function is none',
  })),
  {
    what: 'whose gas may cost a wei more than allowed',
    transaction: { ...good, gasLimit: 1n, maxFeePerGas: rules.maxFee + 1n },
    says: `may cost ${rules.maxFee + 1n} wei of gas, which exceeds the maximum of ${rules.maxFee} wei`,
    code: 'TRANSACTION_FEE_ABOVE_MAXIMUM',
  },
];

describe('the policy for transactions', () => {
  async function openPolicyGate(transactions?: TransactionRules) {
    const { provider, key } = await openTestProvider();
    const policy = createPolicyWithoutRules({ transactions, nowMs: () => 0 });
    const gate = await openKeyGate({
      requireSigning: () => undefined,
      provider,
      redeem: (grant) => policy.redeem(grant),
      journal: noJournal,
      maxQueued: 1,
      signal: never,
    });
    return { policy, gate, key };
  }

  it('grants one to the TicketBroker, once, and the gate signs exactly that', async () => {
    const { policy, gate, key } = await openPolicyGate(rules);
    const verdict = policy.decideTransaction(good);
    if (verdict.kind === 'deny') throw new Error(verdict.refusal.code);
    await expect(gate.sign(verdict.grant, { signal: never })).resolves.toHaveLength(1);
    expect(key.digests).toEqual(digestsOf({ kind: 'broker-transaction', transaction: good }));
    await expect(gate.sign(verdict.grant, { signal: never })).rejects.toMatchObject({
      code: 'GRANT_INVALID',
    });
    expect(key.digests).toHaveLength(1);
  });

  it.each(denials)('refuses one $what', async ({ transaction, says, code }) => {
    const { policy } = await openPolicyGate(rules);
    const verdict = policy.decideTransaction(transaction);
    if (verdict.kind === 'allow') throw new Error('it is allowed');
    expect(verdict.refusal.code).toBe(code ?? 'TRANSACTION_NOT_ALLOWED');
    expect(describeRefusal(verdict.refusal)).toContain(says);
    expect(verdict).not.toHaveProperty('grant');
  });

  it('refuses every one where there are no rules, as in a server', async () => {
    const { policy } = await openPolicyGate();
    expect(policy.decideTransaction(good)).toEqual({
      kind: 'deny',
      refusal: {
        code: 'TRANSACTION_NOT_ALLOWED',
        data: { field: 'transaction' },
      },
    });
  });

  it('takes a fee of exactly the maximum', () => {
    const transaction = { ...good, gasLimit: 1n, maxFeePerGas: rules.maxFee };
    expect(refuseTransaction(transaction, rules)).toBeUndefined();
  });

  it('can’t be got around: the gate encodes no other function even where it is granted', async () => {
    const { provider, key } = await openTestProvider();
    const { gate, issue } = await openTestGate(provider);
    const transaction = otherFunction('redeemWinningTicket');
    const grant = issue({ kind: 'broker-transaction', transaction });
    await expect(gate.sign(grant, { signal: never })).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(key.digests).toHaveLength(0);
  });

  it('compares addresses byte for byte', () => {
    const upperCase = broker.toUpperCase().replace('0X', '0x') as Address;
    expect(refuseTransaction({ ...good, broker: upperCase }, rules)?.code).toBe(
      'TRANSACTION_NOT_ALLOWED',
    );
  });
});
