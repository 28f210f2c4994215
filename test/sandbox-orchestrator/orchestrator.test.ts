import { privateKeyToAccount } from 'viem/accounts';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Capabilities,
  CapabilitiesSchema,
  type OrchestratorInfo,
  OrchestratorRequestSchema,
  type Payment,
  PaymentSchema,
  type SegData,
  SegDataSchema,
} from '../../src/wire/net_pb.ts';
import { create, fromBinary } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import { fromHex, keccak256, toHex, toInteger, toMinimalBytes, toWord } from './bytes.ts';
import {
  type OrchestratorConfig,
  type PaymentOutcome,
  type PaymentType,
  SandboxOrchestrator,
} from './orchestrator.ts';
import { copyOf, Payer, toHeader } from './payer.ts';
import { isWinning, maxWinProb } from './ticket.ts';
import { SandboxWorld } from './world.ts';
import vectors from '../vectors/vectors.json' with { type: 'json' };
import { createRandom } from '../support/random.ts';

const random = createRandom('sandbox orchestrator');

const curveOrder = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';
const otherOrchestrator = '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc';
const startNs = 1_775_592_000_000_000_000n;
const evWei = 33_000_000_000n;

const payer = new Payer(privateKeyToAccount(`0x${random.hex(31)}01`));

let world: SandboxWorld;
let orchestrator: SandboxOrchestrator;
let info: OrchestratorInfo;

function makeWorld(withdrawRounds = new Map<string, bigint>()): SandboxWorld {
  return new SandboxWorld(() => startNs, {
    l1Block: 20_999_970n,
    round: 3800n,
    roundBlockHash: fromHex(vectors.endToEnd.chain.lastInitializedL1BlockHash),
    activeOrchestrators: new Set([recipient, otherOrchestrator]),
    withdrawRounds,
  });
}

function makeOrchestrator(
  paymentType: PaymentType,
  overrides: Partial<OrchestratorConfig> = {},
): SandboxOrchestrator {
  const config = {
    paymentType,
    address: otherOrchestrator,
    recipient,
    serviceUrl: 'https://sandbox.example:8935',
    pricePerUnit: paymentType === 'lv2v' ? 1200n : evWei,
    pixelsPerUnit: 1n,
    ticketEvWei: evWei,
    faceValueWei: 10n * evWei,
    ticketSecret: new Uint8Array(32).fill(1),
    authTokenSecret: new Uint8Array(32).fill(2),
    ...overrides,
  };
  return new SandboxOrchestrator(config, {
    now: world.now,
    chain: world.chain,
    randomBytes: random.bytes,
  });
}

async function startLv2v(overrides: Partial<OrchestratorConfig> = {}): Promise<void> {
  orchestrator = makeOrchestrator('lv2v', overrides);
  info = orchestrator.getOrchestratorInfo(await payer.makeInfoRequest());
}

type Changes = {
  readonly manifestId?: string;
  readonly payment?: (payment: Payment) => void;
  readonly segment?: (segment: SegData) => void;
};

async function pay(nonces: readonly number[], changes: Changes = {}): Promise<PaymentOutcome> {
  const payment = copyOf(PaymentSchema, await payer.makePayment(info, nonces));
  const manifestId = changes.manifestId ?? sessionId();
  const segment = copyOf(SegDataSchema, await payer.makeSegment(info, manifestId));
  changes.payment?.(payment);
  changes.segment?.(segment);
  return orchestrator.receivePayment(
    toHeader(PaymentSchema, payment),
    toHeader(SegDataSchema, segment),
  );
}

function sessionId(): string {
  return info.authToken?.sessionId ?? '';
}

function changeFirstSignature(change: (signature: Uint8Array) => Uint8Array): Changes {
  return {
    payment: ({ ticketSenderParams: [ticket] }) => {
      if (ticket !== undefined) ticket.sig = change(ticket.sig);
    },
  };
}

function toHighS(signature: Uint8Array): Uint8Array {
  const s = curveOrder - toInteger(signature.subarray(32, 64));
  const v = signature[64] === 27 ? 28 : 27;
  return Buffer.concat([signature.subarray(0, 32), toWord(s), Uint8Array.of(v)]);
}

function withV(signature: Uint8Array, shift: number): Uint8Array {
  return Uint8Array.from([...signature.subarray(0, 64), (signature[64] ?? 0) + shift]);
}

function creditedWei(): bigint {
  const account = orchestrator.findAccount(payer.address, sessionId());
  if (account === undefined) throw new Error('no account');
  return account.creditedWei.numerator / account.creditedWei.denominator;
}

beforeEach(async () => {
  world = makeWorld();
  await startLv2v();
});

describe('ticket params', () => {
  it('expire after 40 L1 blocks and name the last round and its block hash', () => {
    expect(toInteger(info.ticketParams?.expirationBlock ?? new Uint8Array())).toBe(21_000_010n);
    expect(info.ticketParams?.expirationParams?.creationRound).toBe(3800n);
    const blockHash = info.ticketParams?.expirationParams?.creationRoundBlockHash;
    expect(toHex(blockHash ?? new Uint8Array())).toBe(
      vectors.endToEnd.chain.lastInitializedL1BlockHash,
    );
  });

  it('promise at least the configured expected value, and less than one wei more', () => {
    const faceValue = toInteger(info.ticketParams?.faceValue ?? new Uint8Array());
    const winProb = toInteger(info.ticketParams?.winProb ?? new Uint8Array());
    expect(faceValue * winProb).toBeGreaterThanOrEqual(evWei * maxWinProb);
    expect(faceValue * winProb).toBeLessThan((evWei + 1n) * maxWinProb);
  });

  it('are different on every request', async () => {
    const again = orchestrator.getOrchestratorInfo(await payer.makeInfoRequest());
    expect(again.ticketParams?.recipientRandHash).not.toEqual(info.ticketParams?.recipientRandHash);
    expect(again.authToken?.sessionId).not.toBe(info.authToken?.sessionId);
  });

  it('come with an auth token that is valid for 30 minutes', () => {
    expect(info.authToken?.expiration).toBe(startNs / 1_000_000_000n + 1800n);
    expect(info.authToken?.token).toHaveLength(32);
  });

  it('are refused for a face value below the expected value', () => {
    expect(() => makeOrchestrator('lv2v', { faceValueWei: evWei - 1n })).toThrow(RangeError);
  });
});

describe('an orchestrator info request', () => {
  it('of the protocol vectors is accepted', () => {
    const request = create(OrchestratorRequestSchema, {
      address: fromHex(vectors.infoSig.address),
      sig: fromHex(vectors.infoSig.signature),
    });
    expect(orchestrator.getOrchestratorInfo(request).transcoder).toBe(
      'https://sandbox.example:8935',
    );
  });

  it('signed over the lower-case address is refused', () => {
    const request = create(OrchestratorRequestSchema, {
      address: fromHex(vectors.infoSig.address),
      sig: fromHex(vectors.infoSig.wrong.signatureOverLowercase),
    });
    expect(() => orchestrator.getOrchestratorInfo(request)).toThrow(
      'Invalid orchestrator request: orchestrator req sig check failed',
    );
  });

  it('without a signature is refused', () => {
    const request = create(OrchestratorRequestSchema, { address: fromHex(payer.address) });
    expect(() => orchestrator.getOrchestratorInfo(request)).toThrow('invalid signature length');
  });
});

describe('a valid payment', () => {
  it('is accepted and credits the exact expected value of each ticket', async () => {
    const outcome = await pay([1, 2, 3]);
    expect(outcome.status).toBe(200);
    const account = orchestrator.findAccount(payer.address, sessionId());
    const faceValue = toInteger(info.ticketParams?.faceValue ?? new Uint8Array());
    const winProb = toInteger(info.ticketParams?.winProb ?? new Uint8Array());
    expect(account?.creditedWei).toEqual({
      numerator: 3n * faceValue * winProb,
      denominator: maxWinProb,
    });
    expect(account?.acceptedTickets).toBe(3);
    expect(account?.acceptedPayments).toBe(1);
    expect(orchestrator.rejections).toEqual([]);
  });

  it('is answered with fresh ticket params and the same auth token', async () => {
    const outcome = await pay([1]);
    if (outcome.status !== 200) throw new Error(outcome.reason);
    const next = outcome.result.info;
    expect(next?.authToken?.sessionId).toBe(sessionId());
    expect(next?.authToken?.token).toEqual(info.authToken?.token);
    expect(next?.ticketParams?.recipientRandHash).not.toEqual(info.ticketParams?.recipientRandHash);
    if (next === undefined) throw new Error('no info');
    info = next;
    expect((await pay([1])).status).toBe(200);
  });

  it('may skip nonces and send them in any order', async () => {
    expect((await pay([9, 2, 4_000_000_000])).status).toBe(200);
  });

  it('collects the tickets that win, and only those', async () => {
    await startLv2v({ faceValueWei: 2n * evWei });
    const nonces = Array.from({ length: 100 }, (_, i) => i + 1);
    expect((await pay(nonces)).status).toBe(200);
    const payment = await payer.makePayment(info, nonces);
    const [first] = orchestrator.winners;
    if (first === undefined) throw new Error('none of 100 tickets with a chance of 1 in 2 won');
    const winning = payment.ticketSenderParams.filter(({ sig }) =>
      isWinning(first.ticket.winProb, sig, first.recipientRand),
    );
    expect(orchestrator.winners.map(({ ticket }) => ticket.senderNonce)).toEqual(
      winning.map(({ senderNonce }) => senderNonce),
    );
    expect(keccak256(toWord(first.recipientRand))).toEqual(first.ticket.recipientRandHash);
  });

  it('wins with every ticket when face value and expected value are the same', async () => {
    await startLv2v({ faceValueWei: evWei });
    expect((await pay([1, 2])).status).toBe(200);
    expect(orchestrator.winners).toHaveLength(2);
  });

  it('keeps the price of the first payment for the session', async () => {
    await pay([1]);
    expect(orchestrator.findAccount(payer.address, sessionId())?.fixedPrice).toEqual({
      numerator: 1200n,
      denominator: 1n,
    });
    const refreshed = orchestrator.refreshPayment(payer.address, sessionId());
    expect(refreshed?.priceInfo?.pricePerUnit).toBe(1200n);
    expect(refreshed?.authToken?.sessionId).toBe(sessionId());
    expect(orchestrator.refreshPayment(payer.address, 'unknown')).toBeUndefined();
  });
});

describe('a ticket', () => {
  it.each([
    [
      'signed by another key',
      changeFirstSignature(() =>
        fromHex(vectors.verifySig[0]?.signature ?? 'vectors.verifySig is empty'),
      ),
      'invalid ticket signature: signed by',
    ],
    [
      'signed with a high s',
      changeFirstSignature(toHighS),
      'invalid ticket signature: signature s value too high',
    ],
    [
      'signed with v 0 or 1',
      changeFirstSignature((signature) => withV(signature, -27)),
      'invalid ticket signature: signature v value must be 27 or 28',
    ],
    [
      'signed with an EIP-155 v',
      changeFirstSignature((signature) => withV(signature, 10)),
      'invalid ticket signature: signature v value must be 27 or 28',
    ],
    [
      'with a compact signature of 64 bytes',
      changeFirstSignature((signature) => signature.subarray(0, 64)),
      'invalid ticket signature: invalid signature length',
    ],
    [
      'with r = 0',
      changeFirstSignature((signature) => Buffer.concat([toWord(0n), signature.subarray(32)])),
      'invalid ticket signature: no public key can be recovered from the signature',
    ],
  ])('%s is refused', async (_name, changes, reason) => {
    const outcome = await pay([1], changes);
    expect(outcome).toEqual({ status: 400, reason: expect.stringContaining(reason) as string });
    expect(creditedWei()).toBe(0n);
  });

  it('whose nonce was used in an earlier payment is refused', async () => {
    await pay([1, 2]);
    expect(await pay([2])).toEqual({
      status: 400,
      reason: `invalid ticket senderNonce: already seen sender=${payer.address} nonce=2`,
    });
  });

  it('whose nonce occurs twice in one payment is refused', async () => {
    expect(await pay([7, 7])).toEqual({
      status: 400,
      reason: `invalid ticket senderNonce: already seen sender=${payer.address} nonce=7`,
    });
  });

  it('is refused as the 601st for one recipientRand, but taken with fresh params', async () => {
    const nonces = Array.from({ length: 600 }, (_, i) => i + 1);
    expect((await pay(nonces)).status).toBe(200);
    expect(await pay([601])).toEqual({
      status: 400,
      reason: `invalid ticket senderNonce: too many values sender=${payer.address} nonce=601`,
    });
    const refreshed = orchestrator.refreshPayment(payer.address, sessionId());
    if (refreshed === undefined) throw new Error('no fixed price');
    info = refreshed;
    expect((await pay([1])).status).toBe(200);
  });

  it('is refused once its params have expired, and is taken in the block before', async () => {
    world.advance({ l1Blocks: 39n });
    expect((await pay([1])).status).toBe(200);
    world.advance({ l1Blocks: 1n });
    expect(await pay([2])).toEqual({ status: 400, reason: 'TicketParams expired' });
  });

  it('of a sender that unlocks by the next round is refused', async () => {
    world = makeWorld(new Map([[payer.address.toLowerCase(), 3801n]]));
    await startLv2v();
    expect(await pay([1])).toEqual({
      status: 400,
      reason: `deposit and reserve for sender ${payer.address} is set to unlock soon`,
    });
  });

  it('of a sender that unlocks a round later is taken', async () => {
    world = makeWorld(new Map([[payer.address.toLowerCase(), 3802n]]));
    await startLv2v();
    expect((await pay([1])).status).toBe(200);
  });

  it('after a refused one in the same payment earns no credit, but still can win', async () => {
    await startLv2v({ faceValueWei: evWei });
    const outcome = await pay([1, 2, 2, 3]);
    expect(outcome.status).toBe(400);
    expect(orchestrator.findAccount(payer.address, sessionId())?.acceptedTickets).toBe(2);
    expect(creditedWei()).toBe(2n * evWei);
    expect(orchestrator.winners.map(({ ticket }) => ticket.senderNonce)).toEqual([1, 2, 2, 3]);
  });
});

describe('a payment whose terms were changed', () => {
  const randFault = 'invalid recipientRand for ticket recipientRandHash';
  const otherHash = keccak256(Buffer.from('other'));
  it.each<[string, (payment: Payment) => void, string]>([
    [
      'face value',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.faceValue = toMinimalBytes(11n * evWei);
      },
      randFault,
    ],
    [
      'win probability',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.winProb = toMinimalBytes(maxWinProb);
      },
      randFault,
    ],
    [
      'seed',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.seed = Uint8Array.of(1);
      },
      randFault,
    ],
    [
      'recipientRand hash',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.recipientRandHash = otherHash;
      },
      randFault,
    ],
    [
      'expiration block',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.expirationBlock = toMinimalBytes(22_000_000n);
      },
      randFault,
    ],
    [
      'creation round',
      ({ expirationParams }) => {
        if (expirationParams) expirationParams.creationRound = 3799n;
      },
      randFault,
    ],
    [
      'creation round block hash',
      ({ expirationParams }) => {
        if (expirationParams) expirationParams.creationRoundBlockHash = otherHash;
      },
      randFault,
    ],
    [
      'expected price',
      ({ expectedPrice }) => {
        if (expectedPrice) expectedPrice.pricePerUnit = 1199n;
      },
      randFault,
    ],
    [
      'recipient, to another active orchestrator',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.recipient = fromHex(otherOrchestrator);
      },
      'invalid ticket recipient',
    ],
    [
      'recipient, to an inactive one',
      ({ ticketParams }) => {
        if (ticketParams) ticketParams.recipient = fromHex(payer.address);
      },
      `orchestrator ${payer.address} is inactive in round 3800, cannot process payments`,
    ],
  ])('in its %s is refused', async (_name, change, reason) => {
    expect(await pay([1], { payment: change })).toEqual({ status: 400, reason });
    expect(creditedWei()).toBe(0n);
    expect(orchestrator.winners).toEqual([]);
  });

  it('but only in how the same price is written is accepted', async () => {
    const outcome = await pay([1], {
      payment: ({ expectedPrice }) => {
        if (expectedPrice === undefined) return;
        expectedPrice.pricePerUnit = 2400n;
        expectedPrice.pixelsPerUnit = 2n;
      },
    });
    expect(outcome.status).toBe(200);
  });
});

describe('an incomplete payment', () => {
  it.each<[string, (payment: Payment) => void, string]>([
    [
      'without expected price',
      (payment) => delete payment.expectedPrice,
      'invalid expected price sent with payment err="expected price is nil"',
    ],
    [
      'with 0 pixels per unit',
      ({ expectedPrice }) => {
        if (expectedPrice) expectedPrice.pixelsPerUnit = 0n;
      },
      'invalid expected price sent with payment err="pixels per unit is 0"',
    ],
    [
      'without expiration params',
      (payment) => delete payment.expirationParams,
      'missing expiration params',
    ],
    [
      'without tickets at the start of a session',
      (payment) => (payment.ticketSenderParams = []),
      'Insufficient balance',
    ],
  ])('%s is refused', async (_name, change, reason) => {
    expect(await pay([1], { payment: change })).toEqual({ status: 400, reason });
  });

  it('without sender is refused, as nobody can sign for the zero address', async () => {
    const outcome = await pay([1], { payment: (payment) => (payment.sender = new Uint8Array()) });
    expect(outcome).toEqual({
      status: 403,
      reason: `ErrSegSig: signed by ${payer.address}`,
    });
  });

  it.each([
    ['not base64', 'base64 decode error: illegal base64 data'],
    ['gICA', 'protobuf unmarshal error: '],
  ])('that reads %s is unreadable', async (paymentHeader, reason) => {
    const segment = toHeader(SegDataSchema, await payer.makeSegment(info, sessionId()));
    expect(orchestrator.receivePayment(paymentHeader, segment)).toEqual({
      status: 402,
      reason: expect.stringContaining(reason) as string,
    });
  });
});

describe('segment credentials', () => {
  it.each<[string, (segment: SegData) => void, string]>([
    ['signed with a high s', (s) => (s.sig = toHighS(s.sig)), 'signature s value too high'],
    ['signed with v 0 or 1', (s) => (s.sig = withV(s.sig, -27)), 'signature v value must be'],
    ['without signature', (s) => (s.sig = new Uint8Array()), 'invalid signature length'],
    ['of another manifest', (s) => (s.manifestId = Buffer.from('other')), 'signed by'],
    ['of another segment number', (s) => (s.seq = 1n), 'signed by'],
    ['of another data hash', (s) => (s.hash = keccak256(Buffer.from('x'))), 'signed by'],
  ])('%s are refused', async (_name, change, reason) => {
    const outcome = await pay([1], { segment: change });
    expect(outcome).toEqual({
      status: 403,
      reason: expect.stringMatching(`^ErrSegSig: ${reason}`) as string,
    });
  });

  it.each<[string, (segment: SegData) => void, string]>([
    ['without auth token', (segment) => delete segment.authToken, 'missing auth token'],
    [
      'with a made-up auth token',
      ({ authToken }) => {
        if (authToken) authToken.token = new Uint8Array(32);
      },
      'invalid auth token',
    ],
    [
      'with an auth token of another session',
      ({ authToken }) => {
        if (authToken) authToken.sessionId = 'ffffffff';
      },
      'invalid auth token',
    ],
    [
      'with a prolonged auth token',
      ({ authToken }) => {
        if (authToken) authToken.expiration += 1n;
      },
      'invalid auth token',
    ],
    ['with a negative duration', (segment) => (segment.duration = -1), 'invalid duration'],
    [
      'with video profiles',
      (segment) =>
        (segment.$unknown = [
          { no: 33, wireType: WireType.LengthDelimited, data: Uint8Array.of(0) },
        ]),
      'ErrSegSig: a payment segment has no video profiles',
    ],
  ])('%s are refused', async (_name, change, reason) => {
    expect(await pay([1], { segment: change })).toEqual({ status: 403, reason });
    expect(orchestrator.findAccount(payer.address, sessionId())).toBeUndefined();
  });

  it('are refused after the auth token has expired, and taken in its last second', async () => {
    world.advance({ seconds: 1800n });
    expect((await pay([1])).status).toBe(200);
    world.advance({ seconds: 1n });
    expect(await pay([2])).toEqual({ status: 403, reason: 'expired auth token' });
  });

  it.each([
    ['', 'ErrSegSig: invalid signature length'],
    ['%%%%', 'ErrorSegEncoding'],
    ['gICA', 'protobuf unmarshal error: '],
  ])('that read "%s" are refused', async (segmentHeader, reason) => {
    const payment = toHeader(PaymentSchema, await payer.makePayment(info, [1]));
    expect(orchestrator.receivePayment(payment, segmentHeader)).toEqual({
      status: 403,
      reason: expect.stringContaining(reason) as string,
    });
  });
});

describe('capabilities in segment credentials', () => {
  function capabilitiesOf(bit: bigint, model: string, warm: boolean): Capabilities {
    return create(CapabilitiesSchema, {
      bitstring: [1n << bit],
      constraints: { perCapability: { [Number(bit)]: { models: { [model]: { warm } } } } },
    });
  }

  it.each<[string, Capabilities, string | undefined]>([
    ['that are offered', capabilitiesOf(35n, 'streamdiffusion', true), undefined],
    [
      'that are not offered',
      capabilitiesOf(36n, 'streamdiffusion', true),
      'incompatible capabilities: a capability is not offered',
    ],
    [
      'with a model that is not offered',
      capabilitiesOf(35n, 'other', false),
      'incompatible capabilities: model other is not offered',
    ],
  ])('%s are judged by what is offered', async (_name, asked, reason) => {
    await startLv2v({ capabilities: capabilitiesOf(35n, 'streamdiffusion', true) });
    const outcome = await pay([1], { segment: (segment) => (segment.capabilities = asked) });
    const refusal = outcome.status === 200 ? undefined : outcome;
    expect(refusal).toEqual(reason === undefined ? undefined : { status: 403, reason });
  });

  it('must name those that the orchestrator declares mandatory', async () => {
    const offered = create(CapabilitiesSchema, { bitstring: [8n], mandatories: [8n] });
    await startLv2v({ capabilities: offered });
    expect(await pay([1])).toEqual({
      status: 403,
      reason: 'incompatible capabilities: a mandatory capability is not asked for',
    });
  });
});

describe('a live session', () => {
  beforeEach(async () => {
    orchestrator = makeOrchestrator('live');
    info = orchestrator.getOrchestratorInfo(await payer.makeInfoRequest());
  });

  it('must use the session id of the auth token as manifest id', async () => {
    expect(await pay([1], { manifestId: 'other' })).toEqual({
      status: 403,
      reason: 'mismatched manifest and auth token',
    });
  });

  it('is debited one unit a second, every 5 s', async () => {
    await pay([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const account = orchestrator.findAccount(payer.address, sessionId());
    world.advance({ seconds: 4n });
    orchestrator.tick(sessionId());
    expect(account?.debitedUnits).toBe(0n);
    world.advance({ seconds: 1n });
    orchestrator.tick(sessionId());
    expect(account?.debitedUnits).toBe(5n);
    orchestrator.tick(sessionId());
    expect(account?.debitedUnits).toBe(5n);
  });

  it('is dropped at the first debit that its balance does not cover', async () => {
    await pay([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    world.advance({ seconds: 5n });
    orchestrator.tickAll();
    expect(orchestrator.droppedSessions).toEqual([]);
    world.advance({ seconds: 5n });
    orchestrator.tickAll();
    expect(orchestrator.droppedSessions).toEqual([
      {
        sender: payer.address.toLowerCase(),
        manifestId: sessionId(),
        atNs: startNs + 10_000_000_000n,
        reason: `insufficient balance, mid=${sessionId()}, fee=165000000000, balance=132000000000`,
      },
    ]);
    world.advance({ seconds: 5n });
    orchestrator.tickAll();
    expect(orchestrator.droppedSessions).toHaveLength(1);
  });
});

describe('an lv2v session', () => {
  it('is debited 27 648 000 pixels a second', async () => {
    await pay(Array.from({ length: 20 }, (_, i) => i + 1));
    world.advance({ seconds: 7n });
    orchestrator.tick(sessionId());
    const account = orchestrator.findAccount(payer.address, sessionId());
    expect(account?.debitedUnits).toBe(7n * 27_648_000n);
    const { numerator, denominator } = account?.balanceWei ?? { numerator: 0n, denominator: 1n };
    expect(numerator / denominator).toBe(20n * evWei - 7n * 27_648_000n * 1200n);
  });
});

describe('a fixed-price session', () => {
  beforeEach(async () => {
    orchestrator = makeOrchestrator('fixed', { pricePerUnit: 2n * evWei });
    info = orchestrator.getOrchestratorInfo(await payer.makeInfoRequest());
  });

  it('is paid once, for one unit, and takes no further payment', async () => {
    expect((await pay([1, 2])).status).toBe(200);
    expect(orchestrator.findAccount(payer.address, sessionId())?.debitedUnits).toBe(1n);
    world.advance({ seconds: 60n });
    orchestrator.tickAll();
    expect(orchestrator.droppedSessions).toEqual([]);
    expect(await pay([3])).toEqual({
      status: 409,
      reason: 'fixed-price live runner sessions do not accept follow-up payments',
    });
  });

  it('is refused if the tickets are worth less than the price', async () => {
    expect(await pay([1])).toEqual({
      status: 400,
      reason: `insufficient balance, mid=${sessionId()}, fee=66000000000, balance=33000000000`,
    });
  });

  it('is refused at any price but the advertised one', async () => {
    const outcome = await pay([1, 2], {
      payment: ({ expectedPrice }) => {
        if (expectedPrice) expectedPrice.pricePerUnit -= 1n;
      },
    });
    expect(outcome).toEqual({
      status: 400,
      reason: 'payment price does not match live runner price',
    });
  });
});

describe('a payment made for another orchestrator', () => {
  const answer = JSON.parse(vectors.endToEnd.cases[0]?.responseBody ?? '') as {
    payment: string;
    segCreds: string;
  };

  it('is refused for its auth token', () => {
    expect(orchestrator.receivePayment(answer.payment, answer.segCreds)).toEqual({
      status: 403,
      reason: 'invalid auth token',
    });
  });

  it('is refused for its recipientRand, although its signatures are valid', async () => {
    const payment = fromBinary(PaymentSchema, Buffer.from(answer.payment, 'base64'));
    const vectorPayer = new Payer(privateKeyToAccount(vectors.key.privateKey as `0x${string}`));
    const segment = await vectorPayer.makeSegment(info, sessionId());
    expect(
      orchestrator.receivePayment(
        toHeader(PaymentSchema, payment),
        toHeader(SegDataSchema, segment),
      ),
    ).toEqual({ status: 400, reason: 'invalid recipientRand for ticket recipientRandHash' });
  });
});
