import { create } from '@bufbuild/protobuf';
import { type Hex, formatEther, parseEther } from 'viem';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Address, addressFromBytes, fromHex, maxUint256, toHex } from '../../src/pm/bytes.ts';
import { OrchestratorRequestSchema } from '../../src/wire/net_pb.ts';
import { Cli, Folder, run } from '../cli/cli.ts';
import { SignerClient } from '../gateway/signer-client.ts';
import { SandboxOrchestrator, type WinningTicket } from '../sandbox-orchestrator/orchestrator.ts';
import { auxData } from '../sandbox-orchestrator/ticket.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import {
  type LivepeerContracts,
  deployLivepeerContracts,
  livepeerAbi,
} from '../support/livepeer-contracts.ts';
import { type SoftHsm, createSoftHsm } from '../support/softhsm.ts';
import { chainSection } from './chain-config.ts';
import { type Redemption, drawOf, readFunds, readRound, redeem } from './redemption.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('redemption');

const payments = 10;
const ticketsInPayment = 50n;
const faceValueWei = parseEther('0.004');
/** a win probability of 0.4: about 200 of 500 win, which is more than the deposit holds */
const ticketEvWei = parseEther('0.0016');
const deposit = parseEther('0.5');
const reserve = parseEther('0.75');

let anvil: Anvil;
let contracts: LivepeerContracts;
let hsm: SoftHsm;
let folder: Folder;
let config: string;
let environment: Record<string, string>;
let sender: Address;
let recipient: Address;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil, { roundLength: 600n });
  recipient = addressFromBytes(fromHex(anvil.accounts[1] ?? '0x'));
  hsm = createSoftHsm();
  environment = { TOKEN_PIN: hsm.pin };
  folder = new Folder();
  config = folder.write(
    'signer.yaml',
    `server:
  listen: 127.0.0.1:0
keys:
  - provider: pkcs11
    module: ${hsm.module}
    token: ${hsm.tokenLabel}
    label: payer
    pin: env:TOKEN_PIN
    environment:
      SOFTHSM2_CONF: ${hsm.configFile}
tickets:
  maxTicketEv: 0.01 ether
  maxTotalEv: 1 ether
${chainSection(anvil, contracts)}`,
  );
  const made = await run(['keys', 'new', '--config', config], environment);
  sender = (/^address (0x[0-9a-fA-F]{40})$/m.exec(made.stdout)?.[1] ?? '').toLowerCase() as Address;
  await anvil.addBalance(sender, parseEther('2'));
});
afterAll(async () => {
  await anvil.stop();
  hsm.remove();
  folder[Symbol.dispose]();
});

/** The recipient's side, on what the chain says now. */
async function openOrchestrator(): Promise<SandboxOrchestrator> {
  const { round, blockHash } = await readRound(anvil, contracts);
  const view = {
    l1Block: await anvil.client.getBlockNumber(),
    round,
    roundBlockHash: fromHex(blockHash),
    activeOrchestrators: new Set([recipient]),
  };
  return new SandboxOrchestrator(
    {
      paymentType: 'fixed',
      address: recipient,
      recipient,
      serviceUrl: 'https://sandbox.example:8935',
      pricePerUnit: ticketsInPayment * ticketEvWei,
      pixelsPerUnit: 1n,
      ticketEvWei,
      faceValueWei,
      ticketSecret: random.bytes(32),
      authTokenSecret: random.bytes(32),
    },
    { now: () => BigInt(Date.now()) * 1_000_000n, chain: () => view, randomBytes: random.bytes },
  );
}

/** One session after the other, each with one payment. */
async function pay(orchestrator: SandboxOrchestrator, signerUrl: string): Promise<void> {
  const client = new SignerClient(signerUrl);
  const introduction = await client.signOrchestratorInfo();
  const request = create(OrchestratorRequestSchema, {
    address: fromHex(introduction.address as Hex),
    sig: fromHex(introduction.signature as Hex),
  });
  for (let payment = 0; payment < payments; payment += 1) {
    const info = orchestrator.getOrchestratorInfo(request);
    const answer = await client.generateLivePayment({
      orchestrator: info,
      type: 'fixed',
      manifestId: info.authToken?.sessionId ?? '',
      state: undefined,
    });
    if (answer.kind !== 'payment') throw new Error(`the signer answered ${answer.kind}`);
    expect(orchestrator.receivePayment(answer.payment, answer.segCreds)).toMatchObject({
      status: 200,
    });
  }
}

/** What the orchestrator received, as the contract takes it. */
function toRedemption({ ticket, signature, recipientRand }: WinningTicket): Redemption {
  return {
    ticket: {
      recipient: addressFromBytes(ticket.recipient),
      sender: addressFromBytes(ticket.sender),
      faceValue: ticket.faceValue,
      winProb: ticket.winProb,
      senderNonce: BigInt(ticket.senderNonce),
      recipientRandHash: toHex(ticket.recipientRandHash),
      auxData: toHex(auxData(ticket.creation)),
    },
    signature: toHex(signature),
    recipientRand,
  };
}

const badSignature = 'invalid signature over ticket hash';

/** Copies of a ticket that pay more, or again, or somebody else, and what the contract says to them. */
const tamperings: readonly ((original: Redemption) => { copy: Redemption; says: string })[] = [
  ({ ticket, ...rest }) => ({
    copy: { ...rest, ticket: { ...ticket, faceValue: ticket.faceValue + 1n } },
    says: badSignature,
  }),
  ({ ticket, ...rest }) => ({
    copy: { ...rest, ticket: { ...ticket, winProb: maxUint256 } },
    says: badSignature,
  }),
  ({ ticket, ...rest }) => ({
    copy: { ...rest, ticket: { ...ticket, senderNonce: ticket.senderNonce + 1_000n } },
    says: badSignature,
  }),
  ({ ticket, ...rest }) => ({
    copy: { ...rest, ticket: { ...ticket, recipient: `0x${'11'.repeat(20)}` } },
    says: badSignature,
  }),
  ({ recipientRand, ...rest }) => ({
    copy: { ...rest, recipientRand: recipientRand + 1n },
    says: 'recipientRand does not match recipientRandHash',
  }),
];

/** The least that a face value takes from deposit first, and from reserve second, in wei. */
function expectedFunds(before: { deposit: bigint; reserve: bigint }, faceValue: bigint) {
  const fromDeposit = faceValue < before.deposit ? faceValue : before.deposit;
  return {
    deposit: before.deposit - fromDeposit,
    reserve: before.reserve - (faceValue - fromDeposit),
    withdrawRound: 0n,
  };
}

describe('tickets of a key in SoftHSM', () => {
  it('are funded by the command line, paid over HTTP, and every winner is redeemed once, to the wei', async () => {
    const funded = await run(
      ['deposit', 'fund', '--deposit', '0.5ether', '--reserve', '0.75ether', '--yes', '-c', config],
      environment,
    );
    expect(funded).toMatchObject({ status: 0, stderr: '' });
    expect(await readFunds(anvil, contracts, sender)).toEqual({
      deposit,
      reserve,
      withdrawRound: 0n,
    });

    const orchestrator = await openOrchestrator();
    const signer = new Cli(['serve', '--config', config], environment);
    try {
      await pay(orchestrator, await signer.listening());
    } finally {
      signer.child.kill('SIGTERM');
      await signer.ended();
    }
    const tickets = orchestrator.accounts.reduce((sum, each) => sum + each.acceptedTickets, 0);
    expect(tickets).toBe(500);
    expect(orchestrator.rejections).toEqual([]);
    const winners = orchestrator.winners.map(toRedemption);
    expect(winners.length).toBeGreaterThanOrEqual(50);

    const fromBlock = await anvil.client.getBlockNumber();
    let funds: { deposit: bigint; reserve: bigint } = { deposit, reserve };
    for (const [index, winner] of winners.entries()) {
      expect(drawOf(winner.signature, winner.recipientRand)).toBeLessThan(winner.ticket.winProb);
      const tamper = tamperings[index % tamperings.length];
      if (!tamper) throw new Error('no tampering');
      const { copy, says } = tamper(winner);
      expect(await redeem(anvil, contracts, copy)).toBe(says);
      expect(await redeem(anvil, contracts, winner)).toBe('ok');
      const expected = expectedFunds(funds, faceValueWei);
      funds = await readFunds(anvil, contracts, sender);
      expect(funds).toEqual(expected);
      expect(await redeem(anvil, contracts, winner)).toBe('ticket is used');
    }

    const transfers = await anvil.client.getContractEvents({
      address: contracts.ticketBroker,
      abi: livepeerAbi,
      eventName: 'WinningTicketTransfer',
      fromBlock,
      strict: true,
    });
    const paid = transfers.reduce((sum, { args }) => sum + args.amount, 0n);
    expect(transfers).toHaveLength(winners.length);
    expect(paid).toBe(BigInt(winners.length) * faceValueWei);
    expect(deposit + reserve - funds.deposit - funds.reserve).toBe(paid);
    expect(funds.deposit).toBe(0n);
    expect(funds.reserve).toBeLessThan(reserve);

    const { stdout } = await run(['deposit', 'status', '--json', '-c', config], environment);
    expect(JSON.parse(stdout)).toMatchObject({
      depositWei: '0',
      reserveWei: funds.reserve.toString(),
      state: 'locked',
    });
    console.log(
      `${tickets} tickets of ${formatEther(faceValueWei)} ether, signed by SoftHSM: ${winners.length} won and were redeemed; ` +
        `as many tampered copies and as many replays were rejected\n` +
        `deposit ${formatEther(deposit)} -> ${formatEther(funds.deposit)} ether, reserve ${formatEther(reserve)} -> ` +
        `${formatEther(funds.reserve)} ether, paid out ${formatEther(paid)} ether, as computed`,
    );
  });
});
