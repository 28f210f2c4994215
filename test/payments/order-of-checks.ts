import { maxUint256 } from '../../src/pm/bytes.ts';
import { masked500, masked503 } from './expectations.ts';
import {
  type Changes,
  type Members,
  lastL1Block,
  mergeChanges,
  ticketsWorth,
  uint,
  usualNow,
} from './request-builder.ts';

/** A row of "Order of checks": what to do to the usual request, which is paid, and what answers then. */
export type Row = {
  /** the row's number in the protocol, in its order */
  readonly row: string;
  readonly when: string;
  readonly request?: Changes;
  /** members of the auth webhook's answer */
  readonly webhook?: Members;
  readonly isKeyDown?: boolean;
  readonly answers: readonly [status: number, message: string | RegExp];
};

const bytes = (text: string) => new TextEncoder().encode(text);
export const ofType = (type: string): Changes => ({ body: { type }, state: { Type: type } });
export const ofLv2v = (lastUpdate: string): Changes => ({
  body: { type: 'lv2v' },
  state: { Type: 'lv2v', Balance: '0', LastUpdate: lastUpdate },
  ticketParams: ticketsWorth(10n ** 12n),
});
export const maxPrice = (price: string, currency: string, unit: string) => ({
  maxPrice: { price, currency, unit },
});

export const refresh = 'refresh session for remote signer';
export const unusable = 'remote signer could not check whether to refresh session: ';
const wordTooWide = uint(maxUint256 + 1n);
const { faceValue, winProb } = ticketsWorth(10n ** 12n);
export const deposit = 5n * 10n ** 17n;

// prettier-ignore
export const rows: readonly Row[] = [
  { row: '2', when: 'a field is of another type', request: { body: { inPixels: '5' } }, answers: [400, /^field inPixels: expected an integer/] },
  { row: '3', when: 'there is no orchestrator', request: { body: { orchestrator: null } }, answers: [400, 'missing orchestrator'] },
  { row: '4', when: 'the orchestrator is no protobuf', request: { body: { orchestrator: Buffer.of(0xff) } }, answers: [400, /^proto:/] },
  { row: '5', when: 'there is no price', request: { priceInfo: null }, answers: [400, 'missing or zero priceInfo'] },
  { row: '5', when: 'pricePerUnit is 0', request: { priceInfo: { pricePerUnit: 0n, pixelsPerUnit: 1n } }, answers: [400, 'missing or zero priceInfo'] },
  { row: '5', when: 'pixelsPerUnit is 0', request: { priceInfo: { pricePerUnit: 1n, pixelsPerUnit: 0n } }, answers: [400, 'missing or zero priceInfo'] },
  { row: '5 (difference 13)', when: 'pricePerUnit is negative', request: { priceInfo: { pricePerUnit: -1n, pixelsPerUnit: 1n } }, answers: [400, 'negative priceInfo'] },
  { row: '5 (difference 13)', when: 'pixelsPerUnit is negative', request: { priceInfo: { pricePerUnit: 1n, pixelsPerUnit: -1n } }, answers: [400, 'negative priceInfo'] },
  { row: '5 (difference 13)', when: 'both are negative', request: { priceInfo: { pricePerUnit: -1n, pixelsPerUnit: -1n } }, answers: [400, 'negative priceInfo'] },
  { row: '6', when: 'there are no ticket parameters', request: { ticketParams: null }, answers: [400, 'missing ticketParams in OrchestratorInfo'] },
  { row: '7', when: 'another key sealed the state', request: { sealWith: `0x${'11'.repeat(32)}` }, answers: [400, 'invalid sig'] },
  { row: '8', when: 'the state is no JSON', request: { stateBytes: bytes('not JSON') }, answers: [400, 'invalid state'] },
  { row: '9', when: 'the state is for another orchestrator', request: { state: { OrchestratorAddress: `0x${'22'.repeat(20)}` } }, answers: [400, 'orchestratorAddress mismatch'] },
  { row: '10', when: 'the state is for another app', request: { body: { app: 'mine' }, state: { App: 'other' } }, answers: [400, 'app mismatch'] },
  { row: '10', when: 'the app is left out', request: { body: { app: '' }, state: { App: 'other' } }, answers: [400, 'app mismatch'] },
  { row: '10', when: 'the app differs in case', request: { body: { app: 'App' }, state: { App: 'app' } }, answers: [400, 'app mismatch'] },
  { row: '11', when: 'the state is for another type', request: { body: { type: 'live' }, state: { Type: 'fixed' } }, answers: [400, 'job type mismatch'] },
  { row: '11', when: 'the type is left out', request: { body: { type: '' }, state: { Type: 'fixed' } }, answers: [400, 'job type mismatch'] },
  { row: '12', when: 'a running session has no manifest id', request: { body: { ManifestID: '' } }, answers: [400, 'missing manifestID'] },
  { row: '12 (difference 9)', when: 'the state is for another recipient', request: { state: { Recipient: `0x${'33'.repeat(20)}` } }, answers: [400, 'ticket recipient mismatch'] },
  { row: '13', when: 'the capabilities are no protobuf', request: { body: { capabilities: Buffer.of(0xff) } }, answers: [400, /^proto:/] },
  { row: '14', when: 'there is no auth token', request: { authToken: null }, answers: [400, `${unusable}missing auth token`] },
  { row: '15', when: 'the auth token ends in 179.999999999 s', request: { authToken: { expiration: usualNow / 10n ** 9n + 179n } }, answers: [480, refresh] },
  { row: '15', when: 'the auth token has no end', request: { authToken: { expiration: 0n } }, answers: [480, refresh] },
  { row: '16 (ours)', when: 'the face value has 33 bytes', request: { ticketParams: { faceValue: wordTooWide, winProb } }, answers: [400, `${unusable}ticket faceValue and winProb must fit into 32 bytes`] },
  { row: '16 (ours)', when: 'the win probability has 33 bytes', request: { ticketParams: { faceValue, winProb: wordTooWide } }, answers: [400, `${unusable}ticket faceValue and winProb must fit into 32 bytes`] },
  { row: '16', when: 'the expiration block is 0', request: { ticketParams: { expirationBlock: uint(0n), faceValue, winProb } }, answers: [400, `${unusable}ticketParams expiration block is 0`] },
  { row: '16', when: 'the ticket parameters end with the next block', request: { ticketParams: { expirationBlock: uint(lastL1Block + 1n), faceValue, winProb } }, answers: [480, refresh] },
  { row: '16', when: 'the ticket parameters have ended', request: { ticketParams: { expirationBlock: uint(1n), faceValue, winProb } }, answers: [480, refresh] },
  { row: '16', when: 'every ticket wins', request: { ticketParams: { faceValue, winProb: uint(maxUint256) } }, answers: [400, `${unusable}ticket faceValue too low faceValue=3000000000000`] },
  { row: '16', when: 'a ticket is worth too much', request: { ticketParams: ticketsWorth(3n * 10n ** 12n + 1n) }, answers: [400, `${unusable}ticket EV 3000000000001.00000 > max ticket EV 3000000000000.00000`] },
  { row: '16', when: 'a ticket could win more than the deposit', request: { ticketParams: { faceValue: uint(deposit + 1n), winProb: uint(2n ** 236n) } }, answers: [400, `${unusable}ticket faceValue 500000000000000001 > max faceValue 500000000000000000`] },
  { row: '16 (difference 17)', when: 'the nonces are nearly used up', request: { state: { SenderNonce: 500 }, ticketParams: { faceValue, winProb } }, answers: [480, refresh] },
  { row: '17', when: 'the type is unknown', request: { body: { type: 'usage' }, state: { Type: '' } }, answers: [400, 'invalid job type'] },
  { row: '17', when: 'the type is in capitals', request: { body: { type: 'LV2V' }, state: { Type: '' } }, answers: [400, 'invalid job type'] },
  { row: '18', when: 'neither type nor pixels are given', request: mergeChanges({ body: { inPixels: 0 } }, ofType('')), answers: [400, 'missing billable unit or job type'] },
  { row: '18', when: 'the pixels are negative', request: mergeChanges({ body: { inPixels: -1 } }, ofType('')), answers: [400, 'missing billable unit or job type'] },
  { row: '18', when: 'no whole pixel has passed', request: ofLv2v('2026-04-07T20:00:04.999999964Z'), answers: [400, 'missing billable unit or job type'] },
  { row: '19', when: 'maxPrice.price is 0', request: mergeChanges({ body: maxPrice('0', 'eur', 'x') }, ofLv2v('2026-04-07T20:00:00Z')), answers: [400, 'maxPrice.price must be a positive decimal'] },
  { row: '19', when: 'maxPrice.currency is not wei', request: mergeChanges({ body: maxPrice('1', 'eur', 'x') }, ofLv2v('2026-04-07T20:00:00Z')), answers: [400, 'maxPrice.currency must be wei'] },
  { row: '19', when: 'maxPrice comes without a type', request: mergeChanges({ body: { inPixels: 1, ...maxPrice('1', 'wei', 'x') } }, ofType('')), answers: [400, 'maxPrice requires payment type live, lv2v, or fixed'] },
  { row: '19', when: 'maxPrice.unit is another type’s', request: mergeChanges({ body: maxPrice('1', 'wei', 'seconds') }, ofLv2v('2026-04-07T20:00:00Z')), answers: [400, 'maxPrice.unit must be 720p-pixel-seconds for payment type lv2v'] },
  { row: '20', when: 'the state’s price is 0', request: { state: { InitialPricePerUnit: 0, InitialPixelsPerUnit: 1 } }, answers: [400, 'invalid initial price in state'] },
  { row: '20', when: 'the state’s price is for no pixels', request: { state: { InitialPricePerUnit: 1200, InitialPixelsPerUnit: 0 } }, answers: [400, 'invalid initial price in state'] },
  { row: '20', when: 'the state’s price is negative', request: { state: { InitialPricePerUnit: -1200, InitialPixelsPerUnit: -1 } }, answers: [400, 'invalid initial price in state'] },
  { row: '21', when: 'the price has risen', request: { priceInfo: { pricePerUnit: 1201n, pixelsPerUnit: 1n } }, answers: [481, 'orchestrator price 1201.000 exceeds initial session price ceiling 1200.000'] },
  { row: '22', when: 'the credit lasts', request: { state: { Balance: '100000000000000000000' } }, answers: [482, 'no tickets'] },
  { row: '22', when: 'a ticket is worth nothing', request: { ticketParams: { faceValue: uint(0n), winProb } }, answers: [482, 'no tickets'] },
  { row: '23', when: '120 tickets are due', request: ofLv2v('2026-04-07T19:00:05Z'), answers: [400, 'numTickets 120 exceeds maximum of 100'] },
  { row: '24 (difference 18)', when: 'the tickets are worth too much together', request: ofLv2v('2026-04-07T19:47:32Z'), answers: [400, 'total ticket EV 25000000000000.00000 for 25 tickets > max total ticket EV 20000000000000.00000'] },
  { row: '25 (ours)', when: 'the credentials would be as long as a ticket', request: { body: { ManifestID: 'm'.repeat(168) } }, answers: [400, 'manifestID must not have 168 bytes'] },
  { row: '26', when: 'the webhook says no', webhook: { status: 402, reason: 'no money' }, answers: [402, 'no money'] },
  { row: '27', when: 'the webhook’s maxPrice is 0', webhook: maxPrice('0', 'wei', '720p-pixel-seconds'), answers: [502, 'signer auth invalid maxPrice: maxPrice.price must be a positive decimal'] },
  { row: '28', when: 'the webhook’s maxPrice is lower', webhook: maxPrice('1199.5', 'wei', '720p-pixel-seconds'), answers: [481, 'orchestrator price 1200.000 exceeds auth webhook maxPrice ceiling 1199.500'] },
  { row: '29', when: 'the payer has changed', request: { state: { AuthID: 'tenant-a' } }, webhook: { auth_id: 'tenant-b' }, answers: [500, masked500] },
  { row: '24, 25, 30 (differences 1, 30)', when: 'the key can’t be reached', isKeyDown: true, answers: [503, masked503] },
];
