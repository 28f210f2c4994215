import { fromBinary } from '@bufbuild/protobuf';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { toEthereumSignature } from '../../src/keys/signature.ts';
import { personalMessageDigest } from '../../src/pm/personal-message.ts';
import { hashTicket } from '../../src/pm/ticket.ts';
import { drawUpTickets } from '../../src/pm/tickets.ts';
import { RecentSeals } from '../../src/session/recent-seals.ts';
import { decodeState, encodeExtendedState } from '../../src/session/state-json.ts';
import { PaymentSchema } from '../../src/wire/net_pb.ts';
import { decodeOrchestratorInfo } from '../../src/wire/orchestrator-info.ts';
import { encodePayment, encodeSegmentCredentials } from '../../src/wire/payment.ts';
import { decodePaymentRequest } from '../../src/wire/payment-request.ts';
import { startTestSigner } from '../support/test-signer.ts';
import { cpuCost } from './cpu-cost.ts';
import { PayingSession } from './paying-session.ts';
import { prepareDecision } from './prepare-decision.ts';
import { type Scenario, formatNumber } from './result.ts';
import { openSeal } from './sealed-state.ts';

/** What the parts of a payment of one ticket cost, each by itself. */
export const parts: Scenario = async () => {
  const { body, payment } = await runningPayment();
  const request = decodePaymentRequest(body);
  if (!request.state) throw new Error('the session is not running');
  const stateBytes = request.state.state;
  const orchestrator = decodeOrchestratorInfo(request.orchestrator);
  const { authToken } = orchestrator;
  if (!authToken) throw new Error('the orchestrator has no auth token');
  const decision = prepareDecision(request, orchestrator);
  const books = decodeState(stateBytes);
  const [ticket] = drawUpTickets(
    orchestrator.ticketParams,
    decision.sender,
    decision.chain.lastInitializedRound,
    1,
    1,
  );
  if (!ticket) throw new Error('there is no ticket');
  const digest = personalMessageDigest(hashTicket(ticket));
  const secp256k1 = chooseSecp256k1();
  const privateKey = new Uint8Array(32).fill(1);
  const reply = { encoding: 'raw', ...secp256k1.sign(digest, privateKey) } as const;
  const publicKey = secp256k1.publicKeyOf(privateKey);
  const signature = toEthereumSignature(reply, digest, publicKey);
  const seal = await openSeal(stateBytes);
  const recentSeals = new RecentSeals();
  recentSeals.remember(request.state);
  const sealed = request.state;
  const fullVerification = cpuCost(seal.verify);

  const measured: [name: string, microseconds: number][] = [
    ['state: recognise the own seal', cpuCost(() => recentSeals.has(sealed))],
    ['state: seal', cpuCost(seal.seal)],
    ['state: remember the seal', cpuCost(() => recentSeals.remember(sealed))],
    ['state: read JSON', cpuCost(() => decodeState(stateBytes))],
    ['state: write JSON', cpuCost(() => encodeExtendedState(books))],
    ['request: read JSON', cpuCost(() => decodePaymentRequest(body))],
    ['request: protobuf, read before', cpuCost(() => decodeOrchestratorInfo(request.orchestrator))],
    [
      'answer: write protobuf, payment',
      cpuCost(() => encodePayment(orchestrator, [{ ticket, signature }])),
    ],
    [
      'answer: write protobuf, credentials',
      cpuCost(() => encodeSegmentCredentials(request.manifestId, signature, authToken, undefined)),
    ],
    ['ticket: hash and digest', cpuCost(() => personalMessageDigest(hashTicket(ticket)))],
    ['ticket: native signature', cpuCost(() => secp256k1.sign(digest, privateKey))],
    ['ticket: check the signature', cpuCost(() => toEthereumSignature(reply, digest, publicKey))],
    ['quote', cpuCost(decision.quote)],
    ['policy: usable parameters', cpuCost(decision.refuseParams)],
    ['policy: decision', cpuCost(() => void decision.decide())],
  ];
  seal.close();
  return {
    table: [
      ['', 'CPU µs'],
      ...measured.map(([name, cost]) => [name, formatNumber(cost)]),
      ['not in the sum: verify another instance’s seal', formatNumber(fullVerification)],
    ],
    notes: [
      `a payment of ${fromBinary(PaymentSchema, payment).ticketSenderParams.length} ticket; the floor of the checks is the native signature`,
      'there is no audit record yet',
    ],
    figures: [
      {
        name: 'sum of the parts, CPU µs',
        value: measured.reduce((sum, [, cost]) => sum + cost, 0),
      },
    ],
  };
};

/** The request of a running session's payment, and the payment of its answer. */
async function runningPayment(): Promise<{ body: Uint8Array; payment: Uint8Array }> {
  const signer = await startTestSigner();
  try {
    const session = new PayingSession(1);
    session.take((await signer.post(session.request())).text);
    const text = session.request();
    const answer = await signer.post(text);
    const { payment } = JSON.parse(answer.text) as { payment: string };
    return { body: Buffer.from(text), payment: Buffer.from(payment, 'base64') };
  } finally {
    await signer.close();
  }
}
