import { type Hex, encodeFunctionData, numberToHex, parseAbi, parseEther, size } from 'viem';
import { privateKeyToAccount, sign } from 'viem/accounts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CreationRound, Ticket } from '../../src/pm/ticket.ts';
import {
  type Address,
  type Bytes32,
  addressFromBytes,
  fromHex,
  maxUint256,
  toHex,
  zeroBytes32,
} from '../../src/pm/bytes.ts';
import { curveOrder } from '../../src/keys/scalars.ts';
import { never, openTestGate, openTestProvider, type TestGate } from '../keys/open-test-gate.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import {
  type LivepeerContracts,
  deployLivepeerContracts,
  livepeerAbi,
} from '../support/livepeer-contracts.ts';
import { vectors } from '../vectors/vectors.ts';
import {
  type Redemption,
  drawOf,
  hashOfRand,
  readFunds,
  readRound,
  redeem,
  ticketHashOf,
  toContractTicket,
  withParts,
} from './redemption.ts';

const sender = vectors.key.address.toLowerCase() as Address;
const privateKey = vectors.key.privateKey;
const recipientRand = 0x5eedn;
const faceValue = parseEther('0.01');
const deposit = parseEther('1');
const reserve = parseEther('2');

let anvil: Anvil;
let contracts: LivepeerContracts;
let testGate: TestGate;
let recipient: Address;
let creationRound: CreationRound;
let snapshot: Hex;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
  await contracts.fundFor(sender, deposit, reserve);
  recipient = addressFromBytes(fromHex(anvil.accounts[1] ?? '0x'));
  creationRound = (await readRound(anvil, contracts)) as CreationRound;
  testGate = await openTestGate((await openTestProvider()).provider);
});
afterAll(() => anvil.stop());
beforeEach(async () => {
  snapshot = await anvil.client.snapshot();
});
afterEach(() => anvil.client.revert({ id: snapshot }));

function ticketWith(changes: Partial<Ticket> = {}): Ticket {
  return {
    recipient,
    sender,
    faceValue,
    winProb: maxUint256,
    senderNonce: 1,
    recipientRandHash: hashOfRand(recipientRand) as Bytes32,
    creationRound,
    ...changes,
  };
}

/** The ticket with the signature that our gate makes for it. */
async function signed(ticket: Ticket = ticketWith()): Promise<Redemption> {
  const grant = testGate.issue({ kind: 'ticket-batch', tickets: [ticket] });
  const [signature = new Uint8Array()] = await testGate.gate.sign(grant, { signal: never });
  return { ticket: toContractTicket(ticket), signature: toHex(signature), recipientRand };
}

const submit = (redemption: Redemption): Promise<string> => redeem(anvil, contracts, redemption);

/** Submits our ticket with another signature than ours. */
async function submitWith(change: (signature: Hex) => Hex): Promise<string> {
  const redemption = await signed();
  return submit({ ...redemption, signature: change(redemption.signature) });
}

const badSignature = 'invalid signature over ticket hash';

describe('a ticket with our signature', () => {
  it('is hashed by the contract as by us, redeemed once, and paid from the deposit to the wei', async () => {
    const ticket = ticketWith();
    const redemption = await signed(ticket);
    const onChain = await anvil.client.readContract({
      address: contracts.ticketBroker,
      abi: livepeerAbi,
      functionName: 'getTicketHash',
      args: [redemption.ticket],
    });
    expect(onChain).toBe(ticketHashOf(ticket));
    expect(await submit(redemption)).toBe('ok');
    expect(await readFunds(anvil, contracts, sender)).toEqual({
      deposit: deposit - faceValue,
      reserve,
      withdrawRound: 0n,
    });
  });

  it('is redeemed with repeated, skipped and decreasing nonces', async () => {
    for (const senderNonce of [7, 3, 600]) {
      expect(await submit(await signed(ticketWith({ senderNonce })))).toBe('ok');
    }
  });

  it('is rejected when replayed, also with the malleated signature', async () => {
    const redemption = await signed();
    expect(await submit(redemption)).toBe('ok');
    expect(await submit(redemption)).toBe('ticket is used');
    const malleated = withParts(redemption.signature, ({ r, s, v }) => ({
      r,
      s: curveOrder - s,
      v: 55 - v,
    }));
    expect(await submit({ ...redemption, signature: malleated })).toBe('ticket is used');
  });
});

describe('our signature, changed', () => {
  it.each([
    ['high s with flipped v', (v: number) => 55 - v],
    ['high s with the same v', (v: number) => v],
    ['high s with v 0 or 1', (v: number) => 28 - v],
  ])('is rejected: %s', async (_, changeV) => {
    const reason = await submitWith((signature) =>
      withParts(signature, ({ r, s, v }) => ({ r, s: curveOrder - s, v: changeV(v) })),
    );
    expect(reason).toBe("ECDSA: invalid signature 's' value");
  });

  it.each([
    ['v = 0 or 1', (v: number) => v - 27],
    ['v = 29 or 30', (v: number) => v + 2],
  ])('is rejected: %s', async (_, changeV) => {
    const reason = await submitWith((signature) =>
      withParts(signature, ({ r, s, v }) => ({ r, s, v: changeV(v) })),
    );
    // the text depends on the OpenZeppelin release that the contract was built with
    expect(reason).toMatch(/^ECDSA: invalid signature/);
  });

  it('is rejected: v swapped', async () => {
    const reason = await submitWith((signature) =>
      withParts(signature, ({ r, s, v }) => ({ r, s, v: 55 - v })),
    );
    expect(reason).toBe(badSignature);
  });

  it('is accepted by this old build in 64 bytes (EIP-2098), which Arbitrum One’s rejects since 2022', async () => {
    const redemption = await signed();
    const compact = withParts(redemption.signature, ({ r, s, v }) => ({
      r,
      s: s | (BigInt(v - 27) << 255n),
      v,
    })).slice(0, 130) as Hex;
    expect(size(compact)).toBe(64);
    expect(await submit({ ...redemption, signature: compact })).toBe('ok');
  });
});

describe('a signature that our gate never makes', () => {
  const account = privateKeyToAccount(privateKey);
  const raw = (hash: Hex) => sign({ hash, privateKey, to: 'hex' });

  it('is rejected: without the personal-message prefix', async () => {
    const signature = await raw(ticketHashOf(ticketWith()));
    expect(await submitWith(() => signature)).toBe(badSignature);
  });

  it('is rejected: over the hex text of the hash', async () => {
    const signature = await account.signMessage({ message: ticketHashOf(ticketWith()) });
    expect(await submitWith(() => signature)).toBe(badSignature);
  });

  it('is rejected: by another key', async () => {
    const other = privateKeyToAccount(numberToHex(5, { size: 32 }));
    const signature = await other.signMessage({ message: { raw: ticketHashOf(ticketWith()) } });
    expect(await submitWith(() => signature)).toBe(badSignature);
  });
});

describe('a ticket that was changed after we signed it', () => {
  it('is rejected with another nonce, and the same signature is good for its own', async () => {
    const redemption = await signed();
    const other = { ...redemption.ticket, senderNonce: 2n };
    expect(await submit({ ...redemption, ticket: other })).toBe(badSignature);
    expect(await submit(redemption)).toBe('ok');
  });

  it.each([
    ['a higher face value', { faceValue: faceValue + 1n }],
    ['a lower win probability', { winProb: maxUint256 - 1n }],
    ['another recipient', { recipient: `0x${'11'.repeat(20)}` }],
  ] as const)('is rejected with %s', async (_, change) => {
    const redemption = await signed();
    const ticket = { ...redemption.ticket, ...change };
    expect(await submit({ ...redemption, ticket })).toBe(badSignature);
  });

  it('is rejected with another recipientRand', async () => {
    const redemption = await signed();
    expect(await submit({ ...redemption, recipientRand: recipientRand + 1n })).toBe(
      'recipientRand does not match recipientRandHash',
    );
  });

  it.each([
    ['63', (auxData: Hex) => auxData.slice(0, -2) as Hex],
    ['65', (auxData: Hex): Hex => `${auxData}00`],
    ['0', (): Hex => '0x'],
  ])('is rejected with auxiliary data of %s bytes', async (_, change) => {
    const redemption = await signed();
    const ticket = { ...redemption.ticket, auxData: change(redemption.ticket.auxData) };
    expect(await submit({ ...redemption, ticket })).toBe(
      'invalid length for ticket auxData: must be 64 bytes',
    );
  });
});

describe('a ticket that we signed', () => {
  it('is rejected when it can’t win', async () => {
    expect(await submit(await signed(ticketWith({ winProb: 0n })))).toBe('ticket did not win');
  });

  it('is rejected or redeemed as its draw says at even odds', async () => {
    const winProb = 2n ** 255n;
    const results = new Set<string>();
    for (let senderNonce = 1; senderNonce <= 20; senderNonce += 1) {
      const redemption = await signed(ticketWith({ winProb, senderNonce }));
      const wins = drawOf(redemption.signature, recipientRand) < winProb;
      const result = await submit(redemption);
      expect(result).toBe(wins ? 'ok' : 'ticket did not win');
      results.add(result);
    }
    expect(results.size).toBe(2);
  });

  it.each([
    ['a future round', 99n],
    ['a round that was never initialized', 0n],
  ])('is rejected with %s as its creation round', async (_, round) => {
    const other = { round, blockHash: creationRound.blockHash };
    expect(await submit(await signed(ticketWith({ creationRound: other })))).toBe(
      'ticket creationRound does not have a block hash',
    );
  });

  it('is rejected with another block hash of its creation round', async () => {
    const other = { round: creationRound.round, blockHash: hashOfRand(1n) as Bytes32 };
    expect(other.blockHash).not.toBe(zeroBytes32);
    expect(await submit(await signed(ticketWith({ creationRound: other })))).toBe(
      'ticket creationRoundBlockHash invalid for creationRound',
    );
  });

  it('is redeemed in the next round, and expired in the one after', async () => {
    const [first, second] = await Promise.all([
      signed(ticketWith({ senderNonce: 1 })),
      signed(ticketWith({ senderNonce: 2 })),
    ]);
    await contracts.nextRound();
    expect(await submit(first)).toBe('ok');
    await contracts.nextRound();
    expect(await submit(second)).toBe('ticket is expired');
  });

  it('is rejected while the current round is not initialized', async () => {
    const redemption = await signed();
    await contracts.enterNextRound();
    expect(await submit(redemption)).toBe('current round is not initialized');
    await contracts.initializeRound();
    expect(await submit(redemption)).toBe('ok');
  });

  it('is rejected for a recipient that is no registered transcoder', async () => {
    const stranger = addressFromBytes(new Uint8Array(20).fill(7));
    expect(await submit(await signed(ticketWith({ recipient: stranger })))).toBe(
      'transcoder must be registered',
    );
  });

  it('is rejected while the Controller is paused, whose views still answer', async () => {
    const redemption = await signed();
    const { controller, owner } = contracts;
    const pause = encodeFunctionData({ abi: livepeerAbi, functionName: 'pause' });
    await anvil.sendAs(owner, { to: controller, data: pause });
    expect(await submit(redemption)).toBe('system is paused');
    expect((await readFunds(anvil, contracts, sender)).deposit).toBe(deposit);
  });
});

describe('a sender that unlocks', () => {
  const call = (functionName: 'unlock' | 'cancelUnlock' | 'withdraw') =>
    anvil.sendAs(sender, {
      to: contracts.ticketBroker,
      data: encodeFunctionData({ abi: livepeerAbi, functionName }),
    });

  it('pays until its withdraw round begins, and not from then on', async () => {
    await anvil.addBalance(sender, parseEther('1'));
    await call('unlock');
    const { withdrawRound } = await readFunds(anvil, contracts, sender);
    expect(withdrawRound).toBe(creationRound.round + 2n);

    await contracts.nextRound();
    const inTime = (await readRound(anvil, contracts)) as CreationRound;
    expect(await submit(await signed(ticketWith({ creationRound: inTime })))).toBe('ok');

    expect(await contracts.nextRound()).toBe(withdrawRound);
    const late = (await readRound(anvil, contracts)) as CreationRound;
    const redemption = await signed(ticketWith({ creationRound: late, senderNonce: 2 }));
    expect(await submit(redemption)).toBe('sender is unlocked');
  });

  it('is locked again when a third party funds it on this old build, unlike on Arbitrum One since 2023', async () => {
    await anvil.addBalance(sender, parseEther('1'));
    await call('unlock');
    await contracts.fundFor(sender, 1n, 1n);
    expect((await readFunds(anvil, contracts, sender)).withdrawRound).toBe(0n);
  });
});

describe('a batch of tickets', () => {
  const batchAbi = parseAbi([
    'struct Ticket { address recipient; address sender; uint256 faceValue; uint256 winProb; uint256 senderNonce; bytes32 recipientRandHash; bytes auxData; }',
    'function batchRedeemWinningTickets(Ticket[] tickets, bytes[] signatures, uint256[] recipientRands)',
  ]);

  async function submitBatch(batch: readonly Redemption[], gas?: bigint): Promise<string> {
    const { client } = anvil;
    const call = {
      account: contracts.owner,
      to: contracts.ticketBroker,
      data: encodeFunctionData({
        abi: batchAbi,
        functionName: 'batchRedeemWinningTickets',
        args: [
          batch.map(({ ticket }) => ticket),
          batch.map(({ signature }) => signature),
          batch.map((redemption) => redemption.recipientRand),
        ],
      }),
    };
    const hash = await client.sendTransaction({
      ...call,
      gas: gas ?? (await client.estimateGas(call)),
    });
    return (await client.waitForTransactionReceipt({ hash })).status;
  }

  it('redeems the good ones and passes over the bad ones', async () => {
    const good = await signed();
    const bad = { ...good, ticket: { ...good.ticket, senderNonce: 2n } };
    expect(await submitBatch([bad, good], 1_500_000n)).toBe('success');
    expect((await readFunds(anvil, contracts, sender)).deposit).toBe(deposit - faceValue);
    expect(await submit(good)).toBe('ticket is used');
    expect(await submit(bad)).toBe(badSignature);
  });

  it('redeems none, and succeeds all the same, with the gas that the node estimates', async () => {
    expect(await submitBatch([await signed()])).toBe('success');
    expect((await readFunds(anvil, contracts, sender)).deposit).toBe(deposit);
  });
});
