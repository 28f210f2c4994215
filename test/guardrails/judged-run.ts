import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { CapabilitiesSchema } from '../../src/wire/net_pb.ts';
import { expectPaid } from '../payments/expectations.ts';
import { usualNow } from '../payments/request-builder.ts';
import type { TestAnswer } from '../support/test-signer.ts';
import { type GuardedSigner, as, firstPayment, ticketEv } from './guarded-signer.ts';
import {
  type Capability,
  type Judgement,
  NaiveJudge,
  type Payment,
  type Policy,
  type TypeName,
  findExceeded,
  writeAsFile,
} from './naive-judge.ts';
import { soon } from '../support/soon.ts';
import { type Step, paramSets } from './random-policies.ts';
import { randomHash, ticketDigests } from './ticket-draws.ts';
import { type Fate, TroubledKey } from './troubled-key.ts';

/** What came of requests, counted, so that a test can tell that it has seen everything. */
export type Tally = Map<string, number>;

/** A session as the client that holds its state knows it. */
type Session = Pick<Payment, 'payer' | 'app' | 'orchestrator' | 'recipient' | 'type' | 'price'> & {
  readonly size: number;
  readonly startedMinute: number;
  /** over all states that its payments made, wei */
  readonly spent: { ev: bigint };
};

type HeldState = {
  readonly sealed: { readonly State: string; readonly Sig: string };
  readonly session: Session;
  readonly paidMinute: number;
  /** tickets */
  readonly owed: number;
};

type Request = {
  readonly body: string;
  /** as the proxy names the caller */
  readonly payer: string;
  readonly idempotencyKey: string | undefined;
  readonly state: HeldState | undefined;
  readonly session: Session;
  readonly capabilities: readonly Capability[];
  readonly size: number;
  readonly fate: Fate;
};

type Expected =
  | { readonly kind: 'repeated'; readonly text: string }
  | { readonly kind: 'another payer' }
  | { readonly kind: 'fork denied' }
  | { readonly kind: 'judged'; readonly judgement: Judgement; readonly payment: Payment };

let runs = 0;

/**
 * Puts the policy in force and sends the requests one after another, a minute apart by the signer's clock. Each answer, and
 * what the key was asked for, must be what the judge expects; what the key was asked for may exceed no ceiling, window or
 * limit, whatever the judge expects, and no ticket of it may be there twice. Gives for each request whether it was paid.
 */
export async function runJudged(
  signer: GuardedSigner,
  policy: Policy,
  steps: readonly Step[],
  {
    forks,
    tally,
    key,
  }: { readonly forks: 'count' | 'deny'; readonly tally: Tally; readonly key: TroubledKey },
): Promise<boolean[]> {
  runs += 1;
  const run = runs;
  // windows go by the rule's id, so that each run begins with empty ones
  const rules = policy.rules.map((rule) => ({ ...rule, id: `run-${run}-${rule.id}` }));
  await putInForce(signer, writeAsFile({ ...policy, rules }));
  const judge = new NaiveJudge({ ...policy, rules });
  const states: HeldState[] = [];
  const requests: Request[] = [];
  /** answers by what they use up, then by request */
  const answered = new Map<string, Map<string, string>>();
  const paid: boolean[] = [];
  const hashes = Array.from({ length: paramSets }, randomHash);
  /** with as many tickets as the key was asked for */
  const asked: Payment[] = [];
  const drawn: string[] = [];

  for (const [minute, step] of steps.entries()) {
    const request = await makeRequest(step, { states, requests, minute, run, hashes });
    if (!request) continue;
    requests.push(request);
    const expected = expectation(request, minute);
    signer.now = usualNow + BigInt(minute) * 60_000_000_000n;
    signer.key.reset();
    const trouble = troubleOf(request, expected);
    const answer = await send(signer, request, key, trouble);
    if (trouble) checkTrouble(signer, answer, trouble);
    else if (answer) check(signer, answer, request, expected);
    const digests = ticketDigests(signer.key);
    drawn.push(...digests);
    paid.push(answer?.status === 200);
    count(tally, trouble ? troubles[trouble.kind] : describe(expected));
    if (expected.kind !== 'judged') continue;
    if (digests.length > 0) asked.push({ ...expected.payment, tickets: digests.length });
    if (trouble) useUp(request, digests.length, expected.payment);
    else if (answer?.status === 200) remember(request, answer, minute, expected.payment);
  }
  expect(findExceeded({ ...policy, rules }, asked)).toEqual([]);
  expect(new Set(drawn).size).toBe(drawn.length);
  return paid;

  function expectation(request: Request, minute: number): Expected {
    const uses = answered.get(useOf(request)) ?? new Map<string, string>();
    const text = uses.get(request.payer + request.body);
    if (text !== undefined) return { kind: 'repeated', text };
    if (uses.size > 0 && forks === 'deny') return { kind: 'fork denied' };
    const payer = payerOf(request);
    if (payer === undefined) return { kind: 'another payer' };
    if (uses.size > 0) count(tally, 'fork counted');
    const payment = judge.payInPart(describePayment(request, payer, minute));
    return { kind: 'judged', payment, judgement: judge.judge(payment) };
  }

  /** Tickets that the key was asked for are spent, whatever became of them. */
  function useUp({ state, session }: Request, tickets: number, payment: Payment): void {
    judge.giveBackAllBut(tickets, payment);
    if (state) session.spent.ev += ticketEv * BigInt(tickets);
  }

  function remember(request: Request, answer: TestAnswer, minute: number, payment: Payment): void {
    const { session } = request;
    // a first payment that is sent again begins another session
    const spent = request.state ? session.spent : { ev: 0n };
    spent.ev += ticketEv * BigInt(payment.tickets);
    states.push({
      sealed: expectPaid(answer).sealed,
      session: {
        ...session,
        payer: payment.payer,
        startedMinute: request.state ? session.startedMinute : minute,
        spent,
      },
      paidMinute: minute,
      owed: ticketsDue(request, minute) - payment.tickets,
    });
    const use = useOf(request);
    if (use === '') return;
    const uses = answered.get(use) ?? new Map<string, string>();
    answered.set(use, uses.set(request.payer + request.body, answer.text));
  }
}

async function putInForce(signer: GuardedSigner, text: string): Promise<void> {
  signer.logLines.length = 0;
  signer.writePolicy(text);
  process.emit('SIGHUP');
  const sha256 = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const reloaded = expect.objectContaining({ msg: 'file reloaded', sha256 }) as unknown;
  await soon(() => expect(signer.logLines, text).toContainEqual(reloaded));
}

async function makeRequest(
  step: Step,
  made: {
    readonly states: readonly HeldState[];
    readonly requests: readonly Request[];
    readonly minute: number;
    readonly run: number;
    readonly hashes: readonly Uint8Array<ArrayBuffer>[];
  },
): Promise<Request | undefined> {
  const { states, requests, minute, run, hashes } = made;
  if (step.kind === 'again') {
    const earlier = requests[step.request % requests.length];
    return earlier && { ...earlier, fate: { kind: 'served' } };
  }
  const { fate } = step;
  const hash = hashes[step.params];
  if (step.kind === 'first') {
    const { payer, app, orchestrator, recipient, capabilities, type, size } = step;
    const price = priceOf(type, size);
    const session = {
      ...{ payer, app, orchestrator, recipient, type, price, size },
      startedMinute: minute,
      spent: { ev: 0n },
    };
    return {
      body: await buildBody(session, undefined, { capabilities, size, hash }),
      payer,
      idempotencyKey: step.isIdempotent ? `run-${run}-minute-${minute}` : undefined,
      state: undefined,
      session,
      capabilities,
      size,
      fate,
    };
  }
  const state = states[step.state % states.length];
  if (!state) return undefined;
  const { session } = state;
  const { capabilities } = step;
  const size = session.type === 'untyped' ? step.size : session.size;
  return {
    body: await buildBody(session, state, { capabilities, size, hash }),
    payer: step.payer ?? session.payer,
    idempotencyKey: undefined,
    state,
    session,
    capabilities,
    size,
    fate,
  };
}

/** 7 days, and a slot */
const longestWindowSeconds = (7 * 86_400 * 61) / 60;
const lv2vPixelsPerMinute = 1280n * 720n * 30n * 60n;

/** A use of the type, or a minute of it, costs `size` tickets. */
function priceOf(type: TypeName, size: number): Payment['price'] {
  const wei = BigInt(size) * ticketEv;
  switch (type) {
    case 'untyped':
      return { wei: ticketEv, units: 1n };
    case 'fixed':
      return { wei, units: 1n };
    case 'live':
      return { wei, units: 60n };
    case 'lv2v':
      return { wei, units: lv2vPixelsPerMinute };
  }
}

/** The first payment of `lv2v` is for a minute ahead and one ticket more, that of `live` for ten seconds and one ticket more. */
function ticketsDue({ state, session: { type }, size }: Request, minute: number): number {
  if (type === 'untyped' || type === 'fixed') return size;
  if (state) return size * (minute - state.paidMinute) + state.owed;
  return type === 'lv2v' ? size + 1 : 2;
}

const capabilityNumbers = { 'text-to-image': 27, llm: 33 } as const;

function encodeCapabilities(capabilities: readonly Capability[]): Uint8Array {
  const perCapability: Record<number, { models: Record<string, object> }> = {};
  for (const { pipeline, model } of capabilities) {
    const number = capabilityNumbers[pipeline];
    const models = perCapability[number]?.models;
    perCapability[number] = { models: { ...models, [model]: {} } };
  }
  return toBinary(
    CapabilitiesSchema,
    create(CapabilitiesSchema, { constraints: { perCapability } }),
  );
}

const addressBytes = (address: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Buffer.from(address.slice(2), 'hex'));

function buildBody(
  { app, orchestrator, recipient, type, price }: Session,
  state: HeldState | undefined,
  {
    capabilities,
    size,
    hash,
  }: Pick<Request, 'capabilities' | 'size'> & {
    readonly hash: Uint8Array<ArrayBuffer> | undefined;
  },
): Promise<string> {
  return firstPayment(0, {
    body: {
      app,
      type: type === 'untyped' ? '' : type,
      inPixels: type === 'untyped' ? size : 0,
      ...(capabilities.length > 0 && { capabilities: encodeCapabilities(capabilities) }),
      ...(state && { state: state.sealed }),
    },
    info: { address: addressBytes(orchestrator) },
    ticketParams: {
      recipient: addressBytes(recipient),
      ...(hash && { recipientRandHash: hash }),
    },
    // later quotes are lower, and what is billed is not
    priceInfo: { pricePerUnit: state ? price.wei / 2n : price.wei, pixelsPerUnit: price.units },
  });
}

type Trouble = Exclude<Fate, { kind: 'served' }> & {
  /** of the whole payment */
  readonly keyCalls: number;
};

const troubles = { 'client leaves': 'client left', 'key fails': 'key failed' } as const;

/** Only a payment that the key is asked for meets its fate. */
function troubleOf({ fate, state }: Request, expected: Expected): Trouble | undefined {
  if (fate.kind === 'served' || expected.kind !== 'judged' || !expected.judgement.isAllowed) {
    return undefined;
  }
  return { ...fate, keyCalls: expected.payment.tickets + (state ? 0 : 1) };
}

/** Gives undefined when the client has left. */
async function send(
  signer: GuardedSigner,
  { body, payer, idempotencyKey }: Request,
  key: TroubledKey,
  trouble: Trouble | undefined,
): Promise<TestAnswer | undefined> {
  const leaving = new AbortController();
  key.plan(trouble ?? { kind: 'served' }, trouble?.keyCalls ?? 0, () => leaving.abort());
  const headers = {
    ...(payer !== '' && as(payer)),
    ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
  };
  try {
    return await signer.post(body, headers, leaving.signal);
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
    // by then what was not used is given back
    await soon(() =>
      expect(signer.logLines).toContainEqual(expect.objectContaining({ code: 'REQUEST_ABORTED' })),
    );
    return undefined;
  } finally {
    key.end();
  }
}

function checkTrouble(
  signer: GuardedSigner,
  answer: TestAnswer | undefined,
  trouble: Trouble,
): void {
  const keyCalls = signer.key.digests.length;
  signer.logLines.length = 0;
  if (trouble.kind === 'client leaves') {
    const begun = TroubledKey.callsUntilLeft(trouble, trouble.keyCalls);
    expect({ status: answer?.status, keyCalls }).toEqual({ status: undefined, keyCalls: begun });
  } else {
    expect(answer?.status).toBe(503);
    expect(keyCalls).toBeLessThanOrEqual(trouble.keyCalls);
    expect(keyCalls).toBeGreaterThan(trouble.call % trouble.keyCalls);
  }
}

/** What a request uses up; '' for a first payment that can't be told from another. */
function useOf({ state, idempotencyKey, payer }: Request): string {
  if (state) return state.sealed.State;
  return idempotencyKey === undefined ? '' : JSON.stringify([payer, idempotencyKey]);
}

/** Whoever sends it, the session's payer pays; undefined when somebody else would. */
function payerOf({ payer, session, state }: Request): string | undefined {
  if (!state || session.payer === '' || payer === session.payer) return payer;
  return payer === '' ? session.payer : undefined;
}

function describePayment(request: Request, payer: string, minute: number): Payment {
  const { state, capabilities, session } = request;
  const { app, orchestrator, recipient, type, price, startedMinute } = session;
  return {
    ...{ payer, app, orchestrator, recipient, type, price, capabilities, ticketEv },
    faceValue: 3n * ticketEv,
    tickets: ticketsDue(request, minute),
    session: {
      isNew: !state,
      spentEv: state ? session.spent.ev : 0n,
      minutes: state ? minute - startedMinute : 0,
    },
  };
}

function check(
  signer: GuardedSigner,
  answer: TestAnswer,
  request: Request,
  expected: Expected,
): void {
  const keyCalls = signer.key.digests.length;
  const { status, text } = answer;
  const code = signer.logLines.findLast(({ msg }) =>
    /^request (refused|failed)$/.test(String(msg)),
  )?.['code'];
  signer.logLines.length = 0;
  if (expected.kind === 'repeated') {
    expect({ status, text, keyCalls }).toEqual({ status: 200, text: expected.text, keyCalls: 0 });
  } else if (expected.kind === 'another payer') {
    expect({ status, code, keyCalls }).toEqual({
      status: 500,
      code: 'AUTH_ID_CHANGED',
      keyCalls: 0,
    });
  } else if (expected.kind === 'fork denied') {
    expect({ status, code, keyCalls }).toEqual({ status: 403, code: 'STATE_FORKED', keyCalls: 0 });
  } else {
    checkJudged({ answer, code, keyCalls }, request, expected);
  }
}

function checkJudged(
  found: { readonly answer: TestAnswer; readonly code: unknown; readonly keyCalls: number },
  { state }: Request,
  { judgement, payment }: Extract<Expected, { kind: 'judged' }>,
): void {
  const { answer, code, keyCalls } = found;
  const { status } = answer;
  const { isAllowed, denials, isPriceAboveLimit, isForNow } = judgement;
  if (isAllowed) {
    expect({ status, keyCalls }).toEqual({
      status: 200,
      keyCalls: payment.tickets + (state ? 0 : 1),
    });
    expect(expectPaid(answer).ticketCount).toBe(payment.tickets);
  } else if (denials.length > 0) {
    expect({ status, code, keyCalls }).toEqual({ status: 403, code: 'RULE_DENIED', keyCalls: 0 });
  } else if (isForNow) {
    expect({ status, code, keyCalls }).toEqual({
      status: 429,
      code: 'WINDOW_EXHAUSTED',
      keyCalls: 0,
    });
    const seconds = Number(answer.headers.get('retry-after'));
    expect(seconds > 0 && seconds <= longestWindowSeconds).toBe(true);
  } else {
    expect({
      isRefused: isPriceAboveLimit ? [403, 481].includes(status) : status === 403,
      keyCalls,
    }).toEqual({ isRefused: true, keyCalls: 0 });
  }
}

function describe(expected: Expected): string {
  if (expected.kind !== 'judged') return expected.kind;
  const { isAllowed, denials, isPriceAboveLimit, isWindowFull } = expected.judgement;
  if (isAllowed) return 'allowed';
  if (denials.length > 0) return 'denied';
  if (isPriceAboveLimit) return 'price above a limit';
  return isWindowFull ? 'window full' : 'not allowed';
}

function count(tally: Tally, what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1);
}
