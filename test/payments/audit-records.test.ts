import { describe, expect, it, vi } from 'vitest';
import { AuthError, type Caller } from '../../src/auth/authorization.ts';
import { anonymous } from '../../src/auth/principal.ts';
import { type ErrorCode, RequestError, SignerError, errorFamilies } from '../../src/errors.ts';
import type { Intent } from '../../src/keys/intents.ts';
import type { KeyUse } from '../../src/keys/key-journal.ts';
import {
  createDenialRecorder,
  createKeyUseJournal,
  createPolicyRecorder,
  createSwitchRecorder,
} from '../../src/payments/audit-records.ts';
import { type Denial, isDenial } from '../../src/payments/denials.ts';
import { describeRefused } from '../../src/payments/describe-refused.ts';
import { RefusalError, SessionRefreshError } from '../../src/payments/refusal-error.ts';
import { addressFromBytes } from '../../src/pm/bytes.ts';
import { rational } from '../../src/pm/rational.ts';
import type { Spend, WindowLimits } from '../../src/policy/limits/ledger.ts';
import type { RestoredSession } from '../../src/session/restore.ts';
import type { OrchestratorInfo } from '../../src/wire/orchestrator-info.ts';
import type { PaymentRequest } from '../../src/wire/payment-request.ts';

type Recorded = Readonly<Record<string, unknown>>;

/** What would stand in the log: as JSON, and whether somebody waits for the disk. */
function openLog() {
  const records: Recorded[] = [];
  let isFull = false;
  const record = (how: string) => (fields: object) => {
    if (isFull) return Promise.reject(new Error('the disk is full'));
    records.push({ how, ...(JSON.parse(JSON.stringify(fields)) as Recorded) });
    return Promise.resolve();
  };
  return {
    records,
    write: record('write'),
    append: record('append'),
    fill: () => (isFull = true),
  };
}

const sender = addressFromBytes(Uint8Array.of(1));
const long = 'x'.repeat(257);
const cut = `${'x'.repeat(256)}…`;
const just = 'x'.repeat(256);

describe('a use of the key', () => {
  const bytes = Uint8Array.from({ length: 66 }, (_, index) => index);
  const use: KeyUse = {
    sender,
    keyRef: 'a key',
    intent: { kind: 'ticket-batch', tickets: [] },
    digests: [bytes.subarray(1, 33), bytes.subarray(33, 65)],
    reason: {
      requestId: 'request',
      traceId: 'trace',
      clientRequestId: 'client request',
      principal: long,
      tenant: long,
      rules: ['a', 'b'],
      observed: ['c'],
      amounts: { evWei: '1' },
      subject: { app: long, type: just },
      models: [long, 'short'],
      usage: { gatewayRequestId: long },
    },
  };

  it('has all that is known of it, with texts of 256 characters at most', async () => {
    const log = openLog();
    await createKeyUseJournal(log).begin(use);
    const [record] = log.records;
    expect(record).toEqual({
      how: 'write',
      kind: 'key-use',
      use: expect.stringMatching(/^[0-9a-f]{16}-1$/) as string,
      request: 'request',
      traceId: 'trace',
      clientRequestId: 'client request',
      principal: cut,
      tenant: cut,
      intent: 'ticket-batch',
      digests: [
        Buffer.from(bytes.subarray(1, 33)).toString('hex'),
        Buffer.from(bytes.subarray(33, 65)).toString('hex'),
      ],
      key: 'a key',
      sender,
      verdict: 'allow',
      rules: ['a', 'b'],
      observed: ['c'],
      amounts: { evWei: '1' },
      subject: { app: cut, type: just },
      models: [cut, 'short'],
      usage: { gatewayRequestId: cut },
    });
  });

  it('has a name of its own, however many there were', async () => {
    const log = openLog();
    const journal = createKeyUseJournal(log);
    for (let number = 0; number < 5_000; number += 1) await journal.begin(use);
    expect(new Set(log.records.map((record) => record['use'])).size).toBe(5_000);
  });

  it('is cut between characters, of whichever alphabet', async () => {
    const log = openLog();
    const tenant = 'é'.repeat(257);
    const principal = 'е'.repeat(256);
    // one of two code units is within
    const app = `${'x'.repeat(255)}\u{1f600}`;
    await createKeyUseJournal(log).begin({
      ...use,
      reason: { tenant, principal, subject: { app } },
    });
    expect(log.records[0]).toMatchObject({
      tenant: `${'é'.repeat(256)}…`,
      principal,
      subject: { app: `${'x'.repeat(255)}\ufffd…` },
    });
  });

  it('has each digest of a payment, however many it has', async () => {
    const log = openLog();
    const digests = Array.from({ length: 100 }, (_, index) => new Uint8Array(32).fill(index));
    await createKeyUseJournal(log).begin({ ...use, digests });
    expect(log.records[0]?.['digests']).toEqual(
      digests.map((digest) => Buffer.from(digest).toString('hex')),
    );
  });

  it('has nothing of what is not known', async () => {
    const log = openLog();
    await createKeyUseJournal(log).begin({ ...use, reason: {} });
    expect(Object.keys(log.records[0] ?? {})).toEqual([
      ...['how', 'kind', 'use', 'intent', 'digests', 'key', 'sender', 'verdict'],
    ]);
  });

  it('is numbered within its process, which has a random name', async () => {
    const log = openLog();
    for (let process = 0; process < 2; process += 1) {
      const journal = createKeyUseJournal(log);
      for (let number = 0; number < 2; number += 1) await journal.begin(use);
    }
    const names = log.records.map((record) => String(record['use']).split('-'));
    expect(names.map(([, number]) => number)).toEqual(['1', '2', '1', '2']);
    expect(new Set(names.map(([process]) => process)).size).toBe(2);
  });

  it.each<Intent['kind']>([
    'ticket-batch',
    'segment-credentials',
    'byoc-job',
    'orchestrator-info',
    'session-state',
    'state-delegation',
    'broker-transaction',
    'self-test',
  ])(
    'ends with its signatures on the disk, or with a failure that nobody waits for: %s',
    async (kind) => {
      const log = openLog();
      // nothing but its kind is looked at
      const intent = { kind } as Intent;
      const record = await createKeyUseJournal(log).begin({ ...use, intent });
      const name = log.records[0]?.['use'];
      await record.signed(12.345678, '{"id":1}');
      record.failed('PROVIDER_TIMEOUT', 0.0004);
      expect(log.records.slice(1)).toEqual([
        {
          ...{ how: 'append', kind: 'signed', use: name, signatures: 2, latencyMs: 12.346 },
          event: '{"id":1}',
        },
        { how: 'write', kind: 'failed', use: name, code: 'PROVIDER_TIMEOUT', latencyMs: 0 },
      ]);
      log.fill();
      record.failed('PROVIDER_TIMEOUT', 1);
      await expect(record.signed(1)).rejects.toThrow('the disk is full');
    },
  );
});

const caller: Caller = {
  headers: new Map(),
  authId: '',
  credentialHash: '',
  principal: anonymous,
};

const known = { id: 'alice', tenant: 'acme', attributes: {} };

const denied = (error: SignerError, changes: Partial<Denial> = {}): Denial => ({
  error,
  requestId: 'request',
  caller,
  sender,
  seen: {},
  ...changes,
});

const noTickets = { code: 'DEPOSIT_EMPTY', data: {} } as const;

describe('a denial', () => {
  function record(denial: Denial, webhookKnowsCallers = false): Recorded | undefined {
    const log = openLog();
    createDenialRecorder(log, { webhookKnowsCallers })(denial);
    return log.records[0];
  }

  const charge = { ruleId: 'day', scope: long, windowMs: 60_000, isEnforced: true };
  const windowOf = (limits: WindowLimits, spent: Spend) => ({
    charge: { ...charge, limits },
    spent,
  });

  it('has all that is known of it, with texts of 256 characters at most', () => {
    const refusal = {
      code: 'RULE_LIMIT_EXCEEDED',
      data: { ruleId: 'small', limit: 'tickets', actual: 3n, maximum: 2n },
    } as never;
    const error = new RefusalError(refusal, {
      ruleId: 'small',
      principal: { id: long, tenant: long, attributes: {} },
      message: long,
      windows: [
        windowOf({ ev: 5n, tickets: 3n }, { ev: 4n, tickets: 3n, sessions: 1n }),
        windowOf({ sessions: 2n }, { ev: 0n, tickets: 0n, sessions: 9n }),
      ],
    });
    const trace = { traceparent: undefined, traceId: 'trace', clientRequestId: 'client request' };
    const seen = {
      amounts: { evWei: '1' },
      subject: { app: long },
      models: [long],
      usage: { gatewayRequestId: long },
    };
    const of = { rule: 'day', scope: cut, windowMs: 60_000 };
    expect(record(denied(error, { seen, caller: { ...caller, trace } }))).toEqual({
      how: 'write',
      kind: 'denied',
      request: 'request',
      traceId: 'trace',
      clientRequestId: 'client request',
      principal: cut,
      tenant: cut,
      code: 'RULE_LIMIT_EXCEEDED',
      rule: 'small',
      data: { ruleId: 'small', limit: 'tickets', actual: '3', maximum: '2' },
      message: cut,
      sender,
      amounts: { evWei: '1' },
      subject: { app: cut },
      models: [cut],
      usage: { gatewayRequestId: cut },
      windows: [
        { ...of, limit: 'ev', maximum: '5', spent: '4', headroom: '1' },
        { ...of, limit: 'tickets', maximum: '3', spent: '3', headroom: '0' },
        { ...of, limit: 'sessions', maximum: '2', spent: '9', headroom: '0' },
      ],
    });
  });

  it('leaves out what an error has no value of, and keeps numbers', () => {
    const data = { field: undefined, serviceStatus: 403 } as never;
    const error = new AuthError('AUTH_WEBHOOK_REJECTED', 'no', { data });
    const { data: recorded } = record(denied(error, { caller: { ...caller, authId: 'a' } })) ?? {};
    expect(recorded).toEqual({ serviceStatus: 403 });
  });

  const webhookSaid = new RefusalError(noTickets, { principal: known });
  const strangers: readonly (readonly [string, SignerError, Partial<Caller>, boolean, boolean])[] =
    [
      ['of nobody, where all may pay', new RefusalError(noTickets), {}, false, true],
      ['of nobody, whom a webhook would know', new RefusalError(noTickets), {}, true, false],
      [
        'of nobody who is refused as such',
        new AuthError('CREDENTIAL_MISSING', ''),
        {},
        false,
        false,
      ],
      ['of whom the webhook has vouched for', webhookSaid, {}, true, true],
      ['of a principal', new AuthError('CREDENTIAL_EXPIRED', ''), { principal: known }, true, true],
      ['of whom a proxy names', new RefusalError(noTickets), { authId: 'acme:bob' }, true, true],
    ];
  it.each(strangers)('is recorded or not: %s', (_, error, changes, webhook, isRecorded) => {
    const recorded = record(denied(error, { caller: { ...caller, ...changes } }), webhook);
    expect(recorded !== undefined).toBe(isRecorded);
  });

  it('names who was vouched for, else the principal, else whom a proxy names', () => {
    const nameOf = (error: SignerError, changes: Partial<Caller>) => {
      const { principal, tenant } =
        record(denied(error, { caller: { ...caller, ...changes } })) ?? {};
      return [principal, tenant];
    };
    const own = { principal: { ...known, id: 'bob' }, authId: 'other:carol' };
    expect(nameOf(webhookSaid, own)).toEqual(['alice', 'acme']);
    expect(nameOf(new RefusalError(noTickets), own)).toEqual(['bob', 'acme']);
    expect(nameOf(new RefusalError(noTickets), { authId: 'other:carol' })).toEqual([
      'other:carol',
      'other',
    ]);
  });

  it('is waited for by nobody, and lost where the disk is full', () => {
    const log = openLog();
    log.fill();
    createDenialRecorder(log, { webhookKnowsCallers: false })(denied(new RefusalError(noTickets)));
    expect(log.records).toEqual([]);
  });
});

it('a policy file is named by its hash, and a use of the switch waits for the disk', async () => {
  const log = openLog();
  createPolicyRecorder(log)('abc');
  await createSwitchRecorder(log)({ kind: 'signing-paused', by: 'me', reason: 'a test' });
  expect(log.records).toEqual([
    { how: 'write', kind: 'policy', sha256: 'abc' },
    { how: 'append', kind: 'signing-paused', by: 'me', reason: 'a test' },
  ]);
  log.fill();
  createPolicyRecorder(log)('abc');
  await expect(createSwitchRecorder(log)({ kind: 'signing-resumed', by: 'me' })).rejects.toThrow(
    'the disk is full',
  );
  await vi.waitFor(() => expect(log.records).toHaveLength(2));
});

it('a denial is a guardrail’s or an authoriser’s no, but none that tells a client what to do next', () => {
  const steering = [
    'AUTH_TOKEN_EXPIRING',
    'TICKET_PARAMS_EXPIRED',
    'NONCES_USED_UP',
    'NO_TICKETS_DUE',
    'SIGNING_PAUSED',
  ];
  for (const [code, family] of Object.entries(errorFamilies)) {
    const error = new SignerError(code as ErrorCode, '');
    const isNo = (family === 'policy' || family === 'caller') && !steering.includes(code);
    expect(isDenial(error), code).toBe(isNo);
  }
  expect(isDenial(new Error('DEPOSIT_EMPTY'))).toBe(false);
  expect(isDenial(undefined)).toBe(false);
  expect(isDenial(new RequestError('SENDER_UNKNOWN', ''))).toBe(false);
});

describe('a refusal as an error', () => {
  it('has its amounts as exact text, and the rule that refused', () => {
    const data = { actual: rational(7n, 3n), maximum: rational(2n), tickets: 3n };
    const error = new RefusalError({ code: 'TOTAL_EV_ABOVE_MAXIMUM', data }, { ruleId: 'a' });
    expect(error).toMatchObject({
      code: 'TOTAL_EV_ABOVE_MAXIMUM',
      principal: undefined,
      windows: undefined,
    });
    expect(error.data).toEqual({ actual: '7/3', maximum: '2', tickets: '3', ruleId: 'a' });
    expect(error.message).not.toBe('');
    const other = new RefusalError({ code: 'NONCES_USED_UP', data: { nonce: 600 } });
    expect(other.data).toEqual({ nonce: 600 });
    expect(Object.keys(other.data)).toEqual(['nonce']);
    expect(new RefusalError(noTickets, { message: 'other words' }).message).toBe('other words');
  });

  it('that asks for new parameters says so, and where', () => {
    const refusal = { code: 'TICKET_PARAMS_EXPIRED', data: { expirationBlock: 1n, l1Block: 2n } };
    const error = new SessionRefreshError(refusal as never, 'https://127.0.0.1:1');
    expect(error).toMatchObject({
      code: 'TICKET_PARAMS_EXPIRED',
      message: 'refresh session for remote signer',
      orchestratorUrl: 'https://127.0.0.1:1',
      data: { expirationBlock: '1', l1Block: '2' },
    });
  });
});

describe('what a payment was that is refused before it is proposed', () => {
  const request = {
    app: 'an app',
    type: 'lv2v',
    manifestId: 'asked for',
    usageLabels: { gatewayRequestId: '1' },
  } as unknown as PaymentRequest;
  const orchestrator = {
    address: sender,
    price: { pricePerUnit: 10n, pixelsPerUnit: 4n },
    ticketParams: { recipient: 'a recipient', faceValue: 7n },
  } as unknown as OrchestratorInfo;
  const known = {
    amounts: { priceWei: '5/2', faceValueWei: '7' },
    subject: { app: 'an app', type: 'lv2v', orchestrator: sender, recipient: 'a recipient' },
    usage: { gatewayRequestId: '1' },
  };

  it('is told from its request, and from its session where that is known', () => {
    expect(describeRefused({}, request, orchestrator)).toEqual({
      ...known,
      subject: { ...known.subject, manifestId: 'asked for' },
    });
    const books = { stateId: 'a session', sequenceNumber: 3n };
    const session = { books, manifestId: 'of the session' } as unknown as RestoredSession;
    expect(describeRefused({ session }, request, orchestrator)).toEqual({
      ...known,
      subject: {
        ...{ session: 'a session', sequence: '3' },
        ...known.subject,
        manifestId: 'of the session',
      },
    });
  });
});
