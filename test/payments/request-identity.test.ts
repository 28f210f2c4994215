import { expect, it } from 'vitest';
import type { Caller } from '../../src/auth/authorization.ts';
import type { Principal } from '../../src/auth/principal.ts';
import { type RequestIdentity, claimUse } from '../../src/payments/repeated-requests.ts';
import { addressFromBytes } from '../../src/pm/bytes.ts';
import type { MaxPrice } from '../../src/pm/price-ceilings.ts';
import type { UseRequest } from '../../src/session/answer-memory.ts';
import { createMemoryAnswers } from '../../src/session/memory-answers.ts';
import type { NonceDemand } from '../../src/session/nonce-demand.ts';
import type { PaymentRequest } from '../../src/wire/payment-request.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const request: PaymentRequest = {
  state: { state: bytes('a state'), sig: bytes('a seal') },
  orchestrator: bytes('an orchestrator'),
  manifestId: 'a manifest',
  app: 'an app',
  inPixels: 1n,
  type: 'lv2v',
  maxPrice: { price: '5', currency: 'wei', unit: 'fixed' },
  capabilities: bytes('capabilities'),
  usageLabels: { gatewayRequestId: '1' },
};

const caller: Caller = {
  headers: new Map([['Via', ['1.1 a']]]),
  authId: 'acme:alice',
  credentialHash: 'aa'.repeat(32),
  principal: { id: 'alice', tenant: 'acme', attributes: { payer: 'one' } },
};

const nobody: Caller = { ...caller, principal: { id: '', tenant: '', attributes: {} } };

const identity: RequestIdentity = {
  request,
  caller,
  sender: addressFromBytes(Uint8Array.of(1)),
  idempotencyKey: 'a key',
  nobody: '',
  holder: { tenant: 'acme', principal: 'alice' },
};

const nonces: NonceDemand = {
  ticketSession: 'cd'.repeat(16),
  count: 2,
  after: 3,
  limit: 500,
  lifetimeMs: 600_000,
  holder: 'tenant:acme',
};

async function claimedBy(of: RequestIdentity): Promise<UseRequest> {
  const claimed: UseRequest[] = [];
  const memory = createMemoryAnswers({ ttlMs: 60_000, maxBytes: 10_000, nowMs: () => 0 });
  const answers = {
    ...memory,
    claim: (asked: UseRequest, signal: AbortSignal) => {
      claimed.push(asked);
      return memory.claim(asked, signal);
    },
  };
  await claimUse(answers, of, nonces, new AbortController().signal);
  return claimed[0] ?? expect.unreachable();
}

const hashOf = async (of: RequestIdentity): Promise<string> => (await claimedBy(of)).requestHash;

/** A value of the field that a request may have instead; `counts` when the answer may be another one then. */
type Others<Fields> = {
  readonly [Field in keyof Required<Fields>]: {
    readonly counts: boolean;
    readonly others: readonly Fields[Field][];
  };
};

const fieldsOfRequest: Others<PaymentRequest> = {
  // told apart by what it uses up
  state: { counts: false, others: [{ state: bytes('a state'), sig: bytes('another seal') }] },
  orchestrator: { counts: true, others: [bytes('another'), bytes('')] },
  manifestId: { counts: true, others: ['another', ''] },
  app: { counts: true, others: ['another', ''] },
  inPixels: { counts: true, others: [2n, 2n ** 63n - 1n, 2n ** 63n - 2n, -1n] },
  type: { counts: true, others: ['live', ''] },
  maxPrice: { counts: true, others: [undefined] },
  capabilities: { counts: true, others: [bytes('others'), bytes('')] },
  usageLabels: { counts: false, others: [{ gatewayRequestId: '2' }, {}] },
};

const fieldsOfMaxPrice: Others<MaxPrice> = {
  price: { counts: true, others: ['6', '5.0', ''] },
  currency: { counts: true, others: ['usd', ''] },
  unit: { counts: true, others: ['seconds', ''] },
};

/** Of a caller that was authenticated, who may have renewed its credential. */
const fieldsOfCaller: Others<Caller> = {
  headers: { counts: false, others: [new Map()] },
  authId: { counts: true, others: ['acme:bob', ''] },
  credentialHash: { counts: false, others: ['bb'.repeat(32), ''] },
  principal: { counts: true, others: [] },
  trace: { counts: false, others: [] },
};

const fieldsOfNobody: Others<Caller> = {
  headers: { counts: false, others: [new Map()] },
  authId: { counts: true, others: ['acme:bob', ''] },
  credentialHash: { counts: true, others: ['bb'.repeat(32), ''] },
  principal: { counts: true, others: [] },
  trace: { counts: false, others: [] },
};

const fieldsOfPrincipal: Others<Principal> = {
  id: { counts: true, others: ['bob', ''] },
  tenant: { counts: true, others: ['other', ''] },
  // the only one that decides anything is which key pays
  attributes: { counts: false, others: [{ payer: 'two' }] },
};

const fieldsOfIdentity: Others<RequestIdentity> = {
  request: { counts: true, others: [] },
  caller: { counts: true, others: [] },
  sender: { counts: true, others: [addressFromBytes(Uint8Array.of(2))] },
  // told apart by what it uses up
  idempotencyKey: { counts: false, others: ['another key', undefined] },
  nobody: { counts: true, others: ['request-1'] },
  holder: { counts: false, others: [{ tenant: 'other', principal: 'bob' }] },
};

function listOthers<Fields extends object>(
  name: string,
  fields: Others<Fields>,
  usual: Fields,
  within: (changed: Fields) => RequestIdentity,
) {
  const names = Object.keys(fields) as (keyof Fields & string)[];
  return names.flatMap((field) =>
    fields[field].others.map((other, index) => ({
      field: `${name}.${field}, ${index + 1}`,
      counts: fields[field].counts,
      usual: within(usual),
      changed: within({ ...usual, [field]: other }),
    })),
  );
}

const maxPrice = request.maxPrice ?? expect.unreachable();
const cases = [
  ...listOthers('request', fieldsOfRequest, request, (changed) => ({
    ...identity,
    request: changed,
  })),
  ...listOthers('maxPrice', fieldsOfMaxPrice, maxPrice, (changed) => ({
    ...identity,
    request: { ...request, maxPrice: changed },
  })),
  ...listOthers('caller', fieldsOfCaller, caller, (changed) => ({ ...identity, caller: changed })),
  ...listOthers('nobody', fieldsOfNobody, nobody, (changed) => ({ ...identity, caller: changed })),
  ...listOthers('principal', fieldsOfPrincipal, caller.principal, (changed) => ({
    ...identity,
    caller: { ...caller, principal: changed },
  })),
  ...listOthers('identity', fieldsOfIdentity, identity, (changed) => changed),
];

it.each(cases)('a request is another one by what can change its answer: $field', async (one) => {
  const hashes = [await hashOf(one.usual), await hashOf(one.changed)];
  expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(hashes).size).toBe(one.counts ? 2 : 1);
});

it('no two of these are the same request', async () => {
  const counting = cases.filter(({ counts }) => counts);
  const hashes = await Promise.all(counting.map(({ changed }) => hashOf(changed)));
  expect(counting.length).toBeGreaterThan(25);
  expect(new Set(hashes).size).toBe(counting.length);
});

it('bytes that move from one field into the next make another request', async () => {
  const split = (orchestrator: string, capabilities: string) =>
    hashOf({
      ...identity,
      request: {
        ...request,
        orchestrator: bytes(orchestrator),
        capabilities: bytes(capabilities),
      },
    });
  expect(await split('ab', 'c')).not.toBe(await split('a', 'bc'));
});

it('the state is what a request uses up, else its idempotency key, of each caller its own', async () => {
  const first = { ...identity, request: { ...request, state: undefined } };
  const useOf = async (of: RequestIdentity) => (await claimedBy(of)).use;
  const other = { state: bytes('another state'), sig: bytes('a seal') };
  const uses = await Promise.all(
    [
      identity,
      { ...identity, request: { ...request, state: other } },
      first,
      { ...first, idempotencyKey: 'another key' },
      { ...first, idempotencyKey: 'A key' },
      { ...first, caller: { ...caller, authId: 'acme:bob' } },
      { ...first, caller: { ...caller, principal: { ...caller.principal, id: 'bob' } } },
      { ...first, caller: { ...caller, principal: { ...caller.principal, tenant: 'other' } } },
      { ...first, caller: nobody },
      { ...first, caller: { ...nobody, credentialHash: 'bb'.repeat(32) } },
      { ...first, nobody: 'request-1' },
    ].map(useOf),
  );
  for (const use of uses) expect(use).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(uses).size).toBe(uses.length);
  // neither what else is asked for nor who may renew what changes it, nor what seals the state
  const resealed = { state: bytes('a state'), sig: bytes('another seal') };
  expect(await useOf({ ...identity, request: { ...request, state: resealed } })).toBe(uses[0]);
  expect(await useOf({ ...identity, idempotencyKey: 'another key', caller: nobody })).toBe(uses[0]);
  expect(await useOf({ ...first, caller: { ...caller, credentialHash: '' } })).toBe(uses[2]);
  expect(await useOf({ ...first, idempotencyKey: undefined })).toBeUndefined();
});

it('asks for the nonces, and for room in the name of the holder', async () => {
  expect(await claimedBy(identity)).toMatchObject({ nonces, holder: identity.holder });
});
