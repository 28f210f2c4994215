import { describe, expect, it } from 'vitest';
import { parseCases, parseRequest } from '../../src/config/policy-cases.ts';
import { addressOf, wei } from '../policy/rules/payment-facts.ts';

describe('a payment as people write it', () => {
  it('is one ticket of a new session, and empty where nothing is said', () => {
    const facts = parseRequest('{}', 'request.json');
    expect(facts).toEqual({
      kind: 'payment',
      principal: { id: '', tenant: '', attributes: {} },
      app: '',
      orchestrator: addressOf('0'),
      recipient: addressOf('0'),
      models: [],
      type: '',
      price: wei(0n),
      ticketEv: wei(0n),
      faceValue: 0n,
      tickets: 1n,
      session: { isNew: true, ev: 0n, startedAt: facts.now },
      weiPerUsd: { ofSession: undefined, now: undefined },
      now: facts.now,
    });
  });

  it('has exact amounts, and a session with its age', () => {
    const text = JSON.stringify({
      principal: 'gateway-1',
      tenant: 'acme',
      app: 'studio',
      orchestrator: addressOf('a').toUpperCase().replace('0X', '0x'),
      recipient: addressOf('b'),
      capability: ['llm/meta/llama-3', 'live-video-to-video'],
      type: 'live',
      price: '0.5 wei',
      ticketEv: '90071992547409930001 wei',
      faceValue: '0.1 ether',
      tickets: 7,
      weiPerUsd: '1000000000000000000/3200',
      session: { ev: '3 gwei', age: '90s' },
    });
    const { now, ...facts } = parseRequest(text, 'request.json');
    expect(facts).toEqual({
      kind: 'payment',
      principal: { id: 'gateway-1', tenant: 'acme', attributes: {} },
      app: 'studio',
      orchestrator: addressOf('a'),
      recipient: addressOf('b'),
      models: [
        { capability: 33, model: 'meta/llama-3' },
        { capability: 35, model: '' },
      ],
      type: 'live',
      price: wei(1n, 2n),
      ticketEv: wei(90_071_992_547_409_930_001n),
      faceValue: 10n ** 17n,
      tickets: 7n,
      session: { isNew: false, ev: 3_000_000_000n, startedAt: now - 90_000_000_000n },
      weiPerUsd: {
        ofSession: { numerator: 10n ** 18n, denominator: 3_200n },
        now: { numerator: 10n ** 18n, denominator: 3_200n },
      },
    });
  });

  it('may be a BYOC job, which has no value and no orchestrator', () => {
    const text =
      '{ "kind": "byocJob", "tenant": "acme", "capability": ["byoc/upscaler"], "tickets": 5 }';
    expect(parseRequest(text, 'request.json')).toMatchObject({
      kind: 'byocJob',
      principal: { tenant: 'acme' },
      models: [{ capability: 37, model: 'upscaler' }],
      orchestrator: undefined,
      type: undefined,
      ticketEv: wei(0n),
      tickets: 1n,
    });
  });

  it('is refused with every problem', () => {
    expect(() => parseRequest('{ "tenant": 5, "price": 5, "x": 1 }', 'request.json')).toThrow(
      /^request\.json is not a valid payment:\n {2}tenant: .*\n {2}price: .*\n {2}x: unknown field/,
    );
  });
});

describe('a file of cases', () => {
  it.each([
    { cases: '[]', says: 'cases: expected at least one case' },
    { cases: '[{ expect: deny }]', says: 'cases.0.name: missing' },
    { cases: '[{ name: a }]', says: 'cases.0.expect: missing' },
    { cases: '[{ name: a, expect: maybe }]', says: 'cases.0.expect: expected "allow" or "deny"' },
    { cases: '[{ name: a, expect: deny, reqest: {} }]', says: 'cases.0.reqest: unknown field' },
    {
      cases: '[{ name: a, expect: deny, request: { ticketEv: 5 } }]',
      says: 'cases.0.request.ticketEv: expected an amount',
    },
    {
      cases: '[{ name: a, expect: deny, spent: { hourly: { ev: 1.5 wei } } }]',
      says: 'cases.0.spent.hourly.ev: expected whole wei',
    },
    {
      cases: '[{ name: a, expect: allow, rule: tenants }]',
      says: 'cases.0.rule: expected with `expect: deny` only',
    },
  ])('is refused with $cases', ({ cases, says }) => {
    expect(() => parseCases(`policy: policy.yaml\ncases: ${cases}`, 'cases.yaml')).toThrow(says);
  });
});
