import { createHmac } from 'node:crypto';
import { create, fromBinary } from '@bufbuild/protobuf';
import { getAddress } from 'viem';
import {
  type AuthToken,
  AuthTokenSchema,
  type Capabilities,
  type OrchestratorInfo,
  OrchestratorInfoSchema,
  type OrchestratorRequest,
  type Payment,
  type PaymentResult,
  PaymentResultSchema,
  PaymentSchema,
  type PriceInfo,
  type SegData,
  SegDataSchema,
  type TicketParams,
  TicketParamsSchema,
} from '../../src/wire/net_pb.ts';
import { Account } from './account.ts';
import {
  equalBytes,
  fromHex,
  keccak256,
  toFixedBytes,
  toHex,
  toInteger,
  toMinimalBytes,
  toWord,
} from './bytes.ts';
import { findCapabilityFault } from './capabilities.ts';
import { isLess, type Rational, toRational } from './rational.ts';
import { findSignatureFault, orchestratorInfoMessage, segmentMessage } from './signatures.ts';
import {
  isWinning,
  type RecipientRandInput,
  recipientRandPreimage,
  type Ticket,
  ticketHash,
  winProbFor,
} from './ticket.ts';

/** L1 blocks for which ticket params are valid. */
const paramsValidBlocks = 40n;
/** Ticket nonces taken for one recipientRand. */
const maxSenderNonces = 600;
/** Seconds for which an auth token is valid: 30 min. */
const authTokenValidSeconds = 1800n;

/** What a session is billed for: pixels of 720p video, seconds, or one request. */
export type PaymentType = 'lv2v' | 'live' | 'fixed';

const unitsPerSecond = { lv2v: 27_648_000n, live: 1n } as const;

export type OrchestratorConfig = {
  readonly paymentType: PaymentType;
  /** Address in `OrchestratorInfo.address`, hex. */
  readonly address: string;
  /** Address that tickets are made out to, hex. */
  readonly recipient: string;
  /** URL in `OrchestratorInfo.transcoder`. */
  readonly serviceUrl: string;
  /** Price: wei per `pixelsPerUnit` units. */
  readonly pricePerUnit: bigint;
  readonly pixelsPerUnit: bigint;
  /** Wanted expected value of a ticket, in wei. */
  readonly ticketEvWei: bigint;
  /** At least `ticketEvWei`. */
  readonly faceValueWei: bigint;
  /** HMAC keys, 32 bytes each: of recipient random values and of auth tokens. */
  readonly ticketSecret: Uint8Array;
  readonly authTokenSecret: Uint8Array;
  readonly capabilities?: Capabilities;
  /** prices of single capabilities and models */
  readonly capabilitiesPrices?: PriceInfo[];
  /** service URLs of further nodes */
  readonly nodes?: string[];
};

/** What the orchestrator sees of the chain. */
export type ChainView = {
  readonly l1Block: bigint;
  /** Last initialized round and the hash of its block (32 bytes, not zero). */
  readonly round: bigint;
  readonly roundBlockHash: Uint8Array;
  /** Addresses of the orchestrators active in that round, lower-case hex. */
  readonly activeOrchestrators: ReadonlySet<string>;
  /** Withdraw round by sender (lower-case hex) of the senders that are unlocking. */
  readonly withdrawRounds?: ReadonlyMap<string, bigint>;
};

export type OrchestratorPorts = {
  /** Unix time in nanoseconds. */
  readonly now: () => bigint;
  readonly chain: () => ChainView;
  readonly randomBytes: (size: number) => Uint8Array;
};

export type PaymentOutcome =
  | { readonly status: 200; readonly result: PaymentResult }
  | { readonly status: 400 | 402 | 403 | 409; readonly reason: string };

export type RejectedPayment = Exclude<PaymentOutcome, { status: 200 }>;

export type WinningTicket = {
  readonly manifestId: string;
  readonly ticket: Ticket;
  readonly signature: Uint8Array;
  readonly recipientRand: bigint;
};

export type DroppedSession = {
  readonly sender: string;
  readonly manifestId: string;
  readonly atNs: bigint;
  readonly reason: string;
};

class Rejection extends Error {
  readonly status: RejectedPayment['status'];

  constructor(status: RejectedPayment['status'], reason: string) {
    super(reason);
    this.status = status;
  }
}

/**
 * The recipient side of Livepeer payments as go-livepeer plays it, without any I/O, timer or code shared with
 * the signer: it hands out ticket params, judges payments, keeps balances and debits sessions.
 */
export class SandboxOrchestrator {
  /** Winners among all tickets received, in order. */
  readonly winners: WinningTicket[] = [];
  readonly rejections: RejectedPayment[] = [];
  readonly droppedSessions: DroppedSession[] = [];
  readonly #config: OrchestratorConfig;
  readonly #ports: OrchestratorPorts;
  readonly #basePrice: Rational;
  readonly #accounts = new Map<string, Map<string, Account>>();
  readonly #nonces = new Map<bigint, { seen: Set<number>; expirationBlock: bigint }>();

  /** Throws RangeError if the face value is below the expected value, or pixels per unit is 0. */
  constructor(config: OrchestratorConfig, ports: OrchestratorPorts) {
    if (config.faceValueWei < config.ticketEvWei) {
      throw new RangeError('faceValueWei is below ticketEvWei: insufficient sender reserve');
    }
    this.#config = config;
    this.#ports = ports;
    this.#basePrice = toRational(config.pricePerUnit, config.pixelsPerUnit);
  }

  /**
   * Answers `GetOrchestrator`: price, fresh ticket params and a fresh auth token.
   * Throws Error with go-livepeer's text if the request's signature is not by its address.
   */
  getOrchestratorInfo(request: OrchestratorRequest): OrchestratorInfo {
    const sender = toFixedBytes(request.address, 20);
    const fault = findSignatureFault(sender, orchestratorInfoMessage(sender), request.sig);
    if (fault !== undefined) {
      throw new Error(`Invalid orchestrator request: orchestrator req sig check failed: ${fault}`);
    }
    return this.#makeInfo(sender, this.#basePrice, toHex(this.#ports.randomBytes(4)).slice(2));
  }

  /** The terms in a live runner's 402, for a session of its own. `sender` is a hex address. */
  challenge(sender: string): OrchestratorInfo {
    const sessionId = toHex(this.#ports.randomBytes(4)).slice(2);
    return this.#makeInfo(fromHex(sender), this.#basePrice, sessionId);
  }

  /**
   * Answers `POST /refresh-payment`: fresh ticket params at the session's fixed price, with an auth token of
   * the same session id. `sender` is a hex address. Undefined if no payment fixed a price (409).
   */
  refreshPayment(sender: string, manifestId: string): OrchestratorInfo | undefined {
    const fixedPrice = this.findAccount(sender, manifestId)?.fixedPrice;
    if (fixedPrice === undefined) return undefined;
    return this.#makeInfo(fromHex(sender), fixedPrice, manifestId);
  }

  /** Answers `POST /payment`, given the headers `Livepeer-Payment` and `Livepeer-Segment`. */
  receivePayment(paymentHeader: string, segmentHeader: string): PaymentOutcome {
    try {
      return { status: 200, result: this.#receivePayment(paymentHeader, segmentHeader) };
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      const rejected = { status: error.status, reason: error.message };
      this.rejections.push(rejected);
      return rejected;
    }
  }

  /** Debits the sessions with this manifest id; does nothing before 5 s have passed since the last debit. */
  tick(manifestId: string): void {
    const now = this.#ports.now();
    for (const account of this.#accounts.get(manifestId)?.values() ?? []) {
      const reason = account.tick(now);
      if (reason === undefined) continue;
      this.droppedSessions.push({ sender: account.sender, manifestId, atNs: now, reason });
    }
  }

  /** {@link tick} for every session. */
  tickAll(): void {
    for (const manifestId of this.#accounts.keys()) this.tick(manifestId);
  }

  /** All accounts, oldest first. */
  get accounts(): readonly Account[] {
    return [...this.#accounts.values()].flatMap((bySender) => [...bySender.values()]);
  }

  /** The account of a sender (hex address in any case) and manifest id, if a payment ever named both. */
  findAccount(sender: string, manifestId: string): Account | undefined {
    return this.#accounts.get(manifestId)?.get(sender.toLowerCase());
  }

  #receivePayment(paymentHeader: string, segmentHeader: string): PaymentResult {
    const payment = decodePayment(paymentHeader);
    const sender = toFixedBytes(payment.sender, 20);
    const { manifestId, authToken } = this.#verifySegmentCredentials(segmentHeader, sender);
    const account = this.#accountOf(toHex(sender), manifestId);
    this.#checkSessionRules(payment, account, authToken);

    // The answer is made before the payment is judged, so that it carries the price as it was before.
    const fixedPrice = this.findAccount(toHex(sender), authToken.sessionId)?.fixedPrice;
    const info = this.#makeInfo(sender, fixedPrice ?? this.#basePrice, authToken.sessionId);
    info.authToken = authToken;

    this.#processPayment(payment, sender, account);
    this.#startSession(payment, account);
    account.acceptedPayments += 1;
    return create(PaymentResultSchema, { info });
  }

  /** What go-livepeer's live runners ask beyond a valid payment. */
  #checkSessionRules(payment: Payment, account: Account, authToken: AuthToken): void {
    const { paymentType, pricePerUnit } = this.#config;
    if (paymentType === 'lv2v') return;
    if (account.manifestId !== authToken.sessionId) {
      throw new Rejection(403, 'mismatched manifest and auth token');
    }
    if (paymentType === 'live') return;
    if (account.hasSession) {
      throw new Rejection(409, 'fixed-price live runner sessions do not accept follow-up payments');
    }
    const price = payment.expectedPrice;
    if (price?.pricePerUnit !== pricePerUnit || price.pixelsPerUnit !== 1n) {
      throw new Rejection(400, 'payment price does not match live runner price');
    }
  }

  #startSession(payment: Payment, account: Account): void {
    const { paymentType, ticketEvWei } = this.#config;
    if (account.hasSession || payment.expectedPrice === undefined) return;
    const price = parseExpectedPrice(payment.expectedPrice);
    if (paymentType === 'fixed') {
      account.startSession(this.#ports.now(), price, 0n);
      const fault = account.debit(1n);
      if (fault !== undefined) throw new Rejection(400, fault);
      return;
    }
    const ev = { numerator: ticketEvWei, denominator: 1n };
    if (paymentType === 'lv2v' && price.numerator > 0n && isLess(account.balanceWei, ev)) {
      throw new Rejection(400, 'Insufficient balance');
    }
    account.startSession(this.#ports.now(), price, unitsPerSecond[paymentType]);
  }

  #verifySegmentCredentials(
    header: string,
    sender: Uint8Array,
  ): { manifestId: string; authToken: AuthToken } {
    const segment = decodeSegment(header);
    const message = segmentMessage({
      manifestId: segment.manifestId,
      seq: segment.seq,
      hash: toFixedBytes(segment.hash, 32),
      profiles: '',
    });
    const signatureFault = findSignatureFault(sender, message, segment.sig);
    if (signatureFault !== undefined) throw new Rejection(403, `ErrSegSig: ${signatureFault}`);
    const capabilityFault = findCapabilityFault(segment.capabilities, this.#config.capabilities);
    if (capabilityFault !== undefined) {
      throw new Rejection(403, `incompatible capabilities: ${capabilityFault}`);
    }
    const { authToken } = segment;
    if (authToken === undefined) throw new Rejection(403, 'missing auth token');
    const issued = this.#makeAuthToken(authToken.sessionId, authToken.expiration);
    if (!equalBytes(issued.token, authToken.token)) throw new Rejection(403, 'invalid auth token');
    if (this.#ports.now() > authToken.expiration * 1_000_000_000n) {
      throw new Rejection(403, 'expired auth token');
    }
    return { manifestId: Buffer.from(segment.manifestId).toString('utf8'), authToken };
  }

  #processPayment(payment: Payment, sender: Uint8Array, account: Account): void {
    const params = payment.ticketParams;
    if (params === undefined) {
      account.fixedPrice ??= { numerator: 0n, denominator: 1n };
      return;
    }
    const chain = this.#ports.chain();
    const recipient = toFixedBytes(params.recipient, 20);
    if (!chain.activeOrchestrators.has(toHex(recipient))) {
      throw new Rejection(
        400,
        `orchestrator ${getAddress(toHex(recipient))} is inactive in round ${chain.round}, cannot process payments`,
      );
    }
    const price = parseExpectedPrice(payment.expectedPrice);
    account.fixedPrice ??= price;
    // go-livepeer dereferences a nil pointer here and the sender sees the connection break.
    if (payment.expirationParams === undefined) {
      throw new Rejection(400, 'missing expiration params');
    }

    const terms = {
      recipient,
      sender,
      faceValue: toInteger(params.faceValue),
      winProb: toInteger(params.winProb),
      recipientRandHash: toFixedBytes(params.recipientRandHash, 32),
      creation: {
        round: payment.expirationParams.creationRound,
        blockHash: toFixedBytes(payment.expirationParams.creationRoundBlockHash, 32),
      },
    };
    const expirationBlock = toInteger(params.expirationBlock);
    const seed = toInteger(params.seed);
    const recipientRand = this.#recipientRand({ ...terms, seed, expirationBlock, price });

    let lastFault: string | undefined;
    for (const { senderNonce, sig } of payment.ticketSenderParams) {
      const ticket = { ...terms, senderNonce };
      this.#requireOwnTicket(ticket, recipientRand, chain);
      const fault = this.#receiveTicket(ticket, sig, {
        recipientRand,
        expirationBlock,
        account,
      });
      lastFault = fault ?? lastFault;
      if (lastFault === undefined) account.creditTicket(ticket.faceValue, ticket.winProb);
    }
    if (lastFault !== undefined) throw new Rejection(400, lastFault);
  }

  /** The checks whose failure ends the whole payment at once. */
  #requireOwnTicket(ticket: Ticket, recipientRand: bigint, chain: ChainView): void {
    const sender = toHex(ticket.sender);
    const withdrawRound = chain.withdrawRounds?.get(sender) ?? 0n;
    if (withdrawRound !== 0n && withdrawRound <= chain.round + 1n) {
      throw new Rejection(
        400,
        `deposit and reserve for sender ${getAddress(sender)} is set to unlock soon`,
      );
    }
    if (!equalBytes(ticket.recipient, fromHex(this.#config.recipient))) {
      throw new Rejection(400, 'invalid ticket recipient');
    }
    if (!equalBytes(keccak256(toWord(recipientRand)), ticket.recipientRandHash)) {
      throw new Rejection(400, 'invalid recipientRand for ticket recipientRandHash');
    }
  }

  /** Notes nonce and win of one ticket. Returns why it earns no credit, if so. */
  #receiveTicket(
    ticket: Ticket,
    signature: Uint8Array,
    context: { recipientRand: bigint; expirationBlock: bigint; account: Account },
  ): string | undefined {
    const { recipientRand, expirationBlock, account } = context;
    const signatureFault = findSignatureFault(ticket.sender, ticketHash(ticket), signature);
    if (signatureFault !== undefined) return `invalid ticket signature: ${signatureFault}`;
    if (isWinning(ticket.winProb, signature, recipientRand)) {
      account.winningTickets += 1;
      this.winners.push({ manifestId: account.manifestId, ticket, signature, recipientRand });
    }
    const nonceFault = this.#useNonce(ticket, recipientRand, expirationBlock);
    if (nonceFault !== undefined) return nonceFault;
    return expirationBlock <= this.#ports.chain().l1Block ? 'TicketParams expired' : undefined;
  }

  #useNonce(ticket: Ticket, recipientRand: bigint, expirationBlock: bigint): string | undefined {
    let used = this.#nonces.get(recipientRand);
    if (used === undefined) {
      this.#forgetExpiredNonces();
      used = { seen: new Set(), expirationBlock };
      this.#nonces.set(recipientRand, used);
    }
    const isRepeated = used.seen.has(ticket.senderNonce);
    if (isRepeated || used.seen.size >= maxSenderNonces) {
      const fault = isRepeated ? 'already seen' : 'too many values';
      const sender = getAddress(toHex(ticket.sender));
      return `invalid ticket senderNonce: ${fault} sender=${sender} nonce=${ticket.senderNonce}`;
    }
    used.seen.add(ticket.senderNonce);
    return undefined;
  }

  #forgetExpiredNonces(): void {
    const { l1Block } = this.#ports.chain();
    for (const [recipientRand, { expirationBlock }] of this.#nonces) {
      if (expirationBlock <= l1Block) this.#nonces.delete(recipientRand);
    }
  }

  #makeInfo(sender: Uint8Array, price: Rational, sessionId: string): OrchestratorInfo {
    const { serviceUrl, address, capabilities, capabilitiesPrices = [], nodes = [] } = this.#config;
    const expiration = this.#ports.now() / 1_000_000_000n + authTokenValidSeconds;
    return create(OrchestratorInfoSchema, {
      transcoder: serviceUrl,
      ticketParams: this.#makeTicketParams(sender, price),
      priceInfo: { pricePerUnit: price.numerator, pixelsPerUnit: price.denominator },
      address: fromHex(address),
      capabilities,
      capabilitiesPrices,
      nodes,
      authToken: this.#makeAuthToken(sessionId, expiration),
    });
  }

  #makeTicketParams(sender: Uint8Array, price: Rational): TicketParams {
    const { ticketEvWei, recipient } = this.#config;
    const { l1Block, round, roundBlockHash } = this.#ports.chain();
    const seed = toInteger(this.#ports.randomBytes(32));
    const faceValue = price.numerator > 0n ? this.#config.faceValueWei : 0n;
    const winProb = winProbFor(ticketEvWei, faceValue);
    const expirationBlock = l1Block + paramsValidBlocks;
    const creation = { round, blockHash: roundBlockHash };
    const terms = { seed, sender, faceValue, winProb, expirationBlock, price, creation };
    const recipientRand = this.#recipientRand(terms);
    return create(TicketParamsSchema, {
      recipient: fromHex(recipient),
      faceValue: toMinimalBytes(faceValue),
      winProb: toMinimalBytes(winProb),
      recipientRandHash: keccak256(toWord(recipientRand)),
      seed: toMinimalBytes(seed),
      expirationBlock: toMinimalBytes(expirationBlock),
      expirationParams: { creationRound: round, creationRoundBlockHash: roundBlockHash },
    });
  }

  #recipientRand(input: RecipientRandInput): bigint {
    const hmac = createHmac('sha256', this.#config.ticketSecret);
    return toInteger(hmac.update(recipientRandPreimage(input)).digest());
  }

  #makeAuthToken(sessionId: string, expiration: bigint): AuthToken {
    const hmac = createHmac('sha256', this.#config.authTokenSecret);
    const token = hmac.update(sessionId, 'utf8').update(toMinimalBytes(expiration)).digest();
    return create(AuthTokenSchema, { token, sessionId, expiration });
  }

  #accountOf(sender: string, manifestId: string): Account {
    let bySender = this.#accounts.get(manifestId);
    if (bySender === undefined) {
      bySender = new Map();
      this.#accounts.set(manifestId, bySender);
    }
    let account = bySender.get(sender);
    if (account === undefined) {
      account = new Account(sender, manifestId);
      bySender.set(sender, account);
    }
    return account;
  }
}

function decodePayment(header: string): Payment {
  const bytes = decodeBase64(header);
  if (bytes === undefined) {
    throw new Rejection(402, 'base64 decode error: illegal base64 data');
  }
  try {
    return fromBinary(PaymentSchema, bytes);
  } catch (error) {
    throw new Rejection(402, `protobuf unmarshal error: ${describe(error)}`);
  }
}

/** Numbers of the three `VideoProfile` fields of SegData, which the signature would have to cover. */
const profileFields = new Set([33, 34, 35]);

function decodeSegment(header: string): SegData {
  const bytes = decodeBase64(header);
  if (bytes === undefined) throw new Rejection(403, 'ErrorSegEncoding');
  let segment: SegData;
  try {
    segment = fromBinary(SegDataSchema, bytes);
  } catch (error) {
    throw new Rejection(403, `protobuf unmarshal error: ${describe(error)}`);
  }
  if (segment.$unknown?.some(({ no }) => profileFields.has(no))) {
    throw new Rejection(403, 'ErrSegSig: a payment segment has no video profiles');
  }
  if (segment.duration < 0 || segment.duration > maxSegmentDurationMs) {
    throw new Rejection(403, 'invalid duration');
  }
  return segment;
}

const maxSegmentDurationMs = 300_000;

function decodeBase64(text: string): Uint8Array | undefined {
  const isBase64 = text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
  return isBase64 ? Buffer.from(text, 'base64') : undefined;
}

function parseExpectedPrice(price: PriceInfo | undefined): Rational {
  const prefix = 'invalid expected price sent with payment';
  if (price === undefined) throw new Rejection(400, `${prefix} err="expected price is nil"`);
  if (price.pixelsPerUnit === 0n) {
    throw new Rejection(400, `${prefix} err="pixels per unit is 0"`);
  }
  return toRational(price.pricePerUnit, price.pixelsPerUnit);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
