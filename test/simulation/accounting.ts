import { create, fromBinary } from '@bufbuild/protobuf';
import type { BillingRule } from '../../src/pm/billing.ts';
import { OrchestratorRequestSchema, PaymentSchema } from '../../src/wire/net_pb.ts';
import {
  type LivePaymentAnswer,
  SignerClient,
  type SignerState,
} from '../gateway/signer-client.ts';
import { Account } from '../sandbox-orchestrator/account.ts';
import { fromHex } from '../sandbox-orchestrator/bytes.ts';
import { SandboxOrchestrator } from '../sandbox-orchestrator/orchestrator.ts';
import { isLess, type Rational, toRational } from '../sandbox-orchestrator/rational.ts';
import { winProbFor } from '../sandbox-orchestrator/ticket.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { type TestSigner, vectorChain } from '../support/test-signer.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('orchestrator of the simulation');

/** A session's terms: a ticket is worth `evSeconds` of the price, the gateway asks for a payment every `pollSeconds`. */
export type Scenario = {
  readonly rule: BillingRule;
  readonly type: 'live' | 'lv2v';
  readonly evSeconds: bigint;
  readonly pollSeconds: bigint;
  /** How long the session lasts. */
  readonly durationSeconds: bigint;
};

/** A payment that the signer made, `sentAtNs` after the start of the simulation. */
export type SentPayment = { readonly sentAtNs: bigint; readonly tickets: number };

/**
 * Which comes first when a payment arrives in the instant of a debit. In go-livepeer the debits' clock starts when the
 * first payment has been credited, so later payments that take equally long come first; the least delay of one of them
 * turns that round.
 */
export type TieOrder = 'payment first' | 'debit first';

/** What the orchestrator saw of a session. */
export type Outcome = {
  /** Since the start of the simulation; undefined when the session was not dropped. */
  readonly droppedAtNs: bigint | undefined;
  /** Lowest balance right after a debit, in seconds of the price. */
  readonly lowestSeconds: Rational;
  /** Longest time between two payments that arrived. */
  readonly longestGapNs: bigint;
  /** Tickets that arrived. */
  readonly tickets: number;
};

const second = 1_000_000_000n;
const deliveryNs = 300_000_000n;
const debitIntervalNs = 5n * second;
const startNs = 1_775_592_000n * second;

/**
 * 100 wei a pixel of 720p30 video, and as much a second for `live`: 600 s of it in one ticket are 1.7e12 wei, so that
 * every payment stays below the signer's default limits of 3e12 wei a ticket and 2e13 wei a payment.
 */
const weiPerSecond = 2_764_800_000n;
const prices = {
  live: { weiPerUnit: weiPerSecond, unitsPerSecond: 1n },
  lv2v: { weiPerUnit: 100n, unitsPerSecond: 27_648_000n },
} as const;

const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';

function ticketValue({ evSeconds }: Scenario): { ticketEvWei: bigint; faceValueWei: bigint } {
  const ticketEvWei = evSeconds * weiPerSecond;
  return { ticketEvWei, faceValueWei: 1000n * ticketEvWei };
}

/** Debits an account every 5 s from its first payment on, and notes what it sees. */
class Observer {
  readonly #tieOrder: TieOrder;
  readonly #debit: (atNs: bigint) => Account;
  #nextDebitNs: bigint | undefined;
  #lastPaymentNs: bigint | undefined;
  #longestGapNs = 0n;
  #tickets = 0;
  #lowestWei: Rational | undefined;
  #droppedAtNs: bigint | undefined;

  /** `debit` debits the account for the time until then and returns it. */
  constructor(tieOrder: TieOrder, debit: (atNs: bigint) => Account) {
    this.#tieOrder = tieOrder;
    this.#debit = debit;
  }

  /** Makes the debits that come before what happens at `atNs`. */
  advanceTo(atNs: bigint): void {
    while (this.#isDebitBefore(atNs) && this.#nextDebitNs !== undefined) {
      const { balanceWei, droppedAtNs } = this.#debit(this.#nextDebitNs);
      if (droppedAtNs !== undefined) {
        this.#droppedAtNs = this.#nextDebitNs;
        this.#nextDebitNs = undefined;
        return;
      }
      this.#nextDebitNs += debitIntervalNs;
      if (!this.#lowestWei || isLess(balanceWei, this.#lowestWei)) this.#lowestWei = balanceWei;
    }
  }

  notePayment(atNs: bigint, tickets: number): void {
    if (this.#lastPaymentNs === undefined) this.#nextDebitNs = atNs + debitIntervalNs;
    const gapNs = atNs - (this.#lastPaymentNs ?? atNs);
    if (gapNs > this.#longestGapNs) this.#longestGapNs = gapNs;
    this.#lastPaymentNs = atNs;
    this.#tickets += tickets;
  }

  get outcome(): Outcome {
    if (!this.#lowestWei) throw new Error('the session was never debited');
    const { numerator, denominator } = this.#lowestWei;
    return {
      droppedAtNs: this.#droppedAtNs,
      lowestSeconds: toRational(numerator, denominator * weiPerSecond),
      longestGapNs: this.#longestGapNs,
      tickets: this.#tickets,
    };
  }

  #isDebitBefore(atNs: bigint): boolean {
    if (this.#nextDebitNs === undefined) return false;
    return (
      this.#nextDebitNs < atNs || (this.#nextDebitNs === atNs && this.#tieOrder === 'debit first')
    );
  }
}

/**
 * Plays a session: a gateway asks the real signer over HTTP, and what it gets reaches the sandbox orchestrator 0.3 s
 * later, except for the payment at index `lost`, which never arrives. That can't be the first: without it there is no
 * session. No L1 block goes by, so that ticket parameters do not expire; auth tokens do.
 *
 * Throws Error when the orchestrator rejects a payment, GatewayError when the signer refuses one.
 */
export async function playSession(
  signer: TestSigner,
  scenario: Scenario,
  { tieOrder, lost }: { readonly tieOrder: TieOrder; readonly lost?: number },
): Promise<{ readonly payments: readonly SentPayment[]; readonly outcome: Outcome }> {
  const client = new SignerClient(signer.url);
  const introduction = await client.signOrchestratorInfo();
  const { address: sender } = introduction;
  const infoRequest = create(OrchestratorRequestSchema, {
    address: fromHex(sender),
    sig: fromHex(introduction.signature),
  });

  let nowNs = startNs;
  const orchestrator = makeOrchestrator(scenario, () => nowNs);
  let info = orchestrator.getOrchestratorInfo(infoRequest);
  const manifestId = info.authToken?.sessionId ?? '';
  let state: SignerState | undefined;
  const observer = new Observer(tieOrder, (atNs) => {
    nowNs = startNs + atNs;
    orchestrator.tick(manifestId);
    const account = orchestrator.findAccount(sender, manifestId);
    if (!account) throw new Error('the orchestrator has no account of the session');
    return account;
  });

  async function ask(): Promise<LivePaymentAnswer> {
    const { type } = scenario;
    const answer = await client.generateLivePayment({
      orchestrator: info,
      type,
      manifestId,
      state,
    });
    if (answer.kind !== 'refresh') return answer;
    const refreshed =
      type === 'live'
        ? orchestrator.refreshPayment(sender, manifestId)
        : orchestrator.getOrchestratorInfo(infoRequest);
    if (!refreshed) throw new Error('the orchestrator knows no price of the session');
    info = refreshed;
    return client.generateLivePayment({ orchestrator: info, type, manifestId, state });
  }

  const payments: SentPayment[] = [];
  const endNs = scenario.durationSeconds * second;
  for (let atNs = 0n; atNs < endNs; atNs += scenario.pollSeconds * second) {
    observer.advanceTo(atNs);
    nowNs = startNs + atNs;
    signer.now = nowNs;
    const answer = await ask();
    if (answer.kind !== 'payment') continue;
    state = answer.state;
    const { ticketSenderParams } = fromBinary(PaymentSchema, Buffer.from(answer.payment, 'base64'));
    const tickets = ticketSenderParams.length;
    const isLost = payments.length === lost;
    payments.push({ sentAtNs: atNs, tickets });
    if (isLost) continue;
    const arrivesAtNs = atNs + deliveryNs;
    observer.advanceTo(arrivesAtNs);
    nowNs = startNs + arrivesAtNs;
    const received = orchestrator.receivePayment(answer.payment, answer.segCreds);
    if (received.status !== 200) throw new Error(`payment rejected: ${received.reason}`);
    info = received.result.info ?? info;
    observer.notePayment(arrivesAtNs, tickets);
  }
  observer.advanceTo(endNs);
  return { payments, outcome: observer.outcome };
}

/**
 * What the orchestrator sees of these payments, without signatures: the signer never learns what became of a payment,
 * so that the same payments can be replayed with another one lost. `lost` as in {@link playSession}.
 */
export function replaySession(
  scenario: Scenario,
  payments: readonly SentPayment[],
  { tieOrder, lost }: { readonly tieOrder: TieOrder; readonly lost?: number },
): Outcome {
  const { weiPerUnit, unitsPerSecond } = prices[scenario.type];
  const { ticketEvWei, faceValueWei } = ticketValue(scenario);
  const winProb = winProbFor(ticketEvWei, faceValueWei);
  const account = new Account('sender', 'manifest');
  const observer = new Observer(tieOrder, (atNs) => {
    account.tick(atNs);
    return account;
  });
  for (const [index, { sentAtNs, tickets }] of payments.entries()) {
    if (index === lost) continue;
    const arrivesAtNs = sentAtNs + deliveryNs;
    observer.advanceTo(arrivesAtNs);
    for (let ticket = 0; ticket < tickets; ticket += 1) account.creditTicket(faceValueWei, winProb);
    if (!account.hasSession) {
      account.startSession(arrivesAtNs, toRational(weiPerUnit, 1n), unitsPerSecond);
    }
    observer.notePayment(arrivesAtNs, tickets);
  }
  observer.advanceTo(scenario.durationSeconds * second);
  return observer.outcome;
}

/** The replays in which each payment but the first is lost in turn. */
export function loseEach(
  scenario: Scenario,
  payments: readonly SentPayment[],
  tieOrder: TieOrder,
): Outcome[] {
  return payments
    .slice(1)
    .map((_, index) => replaySession(scenario, payments, { tieOrder, lost: index + 1 }));
}

function makeOrchestrator(scenario: Scenario, now: () => bigint): SandboxOrchestrator {
  const world = new SandboxWorld(now, {
    l1Block: BigInt(vectorChain.l1Block),
    round: BigInt(vectorChain.round),
    roundBlockHash: fromHex(vectorChain.roundBlockHash),
    activeOrchestrators: new Set([recipient]),
  });
  return new SandboxOrchestrator(
    {
      ...ticketValue(scenario),
      paymentType: scenario.type,
      address: recipient,
      recipient,
      serviceUrl: 'https://sandbox.example:8935',
      pricePerUnit: prices[scenario.type].weiPerUnit,
      pixelsPerUnit: 1n,
      ticketSecret: new Uint8Array(32).fill(1),
      authTokenSecret: new Uint8Array(32).fill(2),
    },
    { now: world.now, chain: world.chain, randomBytes: random.bytes },
  );
}
