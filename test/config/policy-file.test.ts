import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/config/policy-file.ts';
import { describePolicy } from '../../src/config/policy-schema.ts';
import type { RuleDefinition } from '../../src/policy/rules/compile.ts';
import { root, run } from '../cli/cli.ts';

const address = '0xABcdefABcdefABcdefABcdefABcdefABcdefABcd';

/** The single rule of a policy, as it was read. */
function readRule(rule: string): Omit<RuleDefinition, 'id'> {
  const [read] = parsePolicy(`default: deny\nrules: [{ id: a, ${rule} }]`, 'policy.yaml').rules;
  if (!read) throw new Error('there is no rule');
  const { mode, when, effect } = read;
  return { mode, when, effect };
}

function problemsOf(text: string): string[] {
  try {
    parsePolicy(text, 'policy.yaml');
  } catch (error) {
    return (error as Error).message
      .split('\n')
      .filter((line) => line.startsWith('  '))
      .map((line) => line.trim());
  }
  return [];
}

describe('a policy file', () => {
  it.each([
    {
      rule: 'then: allow',
      is: { mode: 'enforce', when: {}, effect: { kind: 'allow' } },
    },
    {
      rule: 'mode: observe, then: deny',
      is: { mode: 'observe', when: {}, effect: { kind: 'deny' } },
    },
    {
      rule: `when: { orchestrator: [${address}, "${address}"], recipient: ["${address.toLowerCase()}"] }, then: deny`,
      is: {
        when: {
          orchestrator: [address.toLowerCase(), address.toLowerCase()],
          recipient: [address.toLowerCase()],
        },
      },
    },
    {
      rule: 'when: { capability: [llm, live-video-to-video/streamdiffusion, llm/meta/llama-3] }, then: deny',
      is: {
        when: {
          capability: [
            { capability: 33, model: undefined },
            { capability: 35, model: 'streamdiffusion' },
            { capability: 33, model: 'meta/llama-3' },
          ],
        },
      },
    },
    {
      rule: 'when: { type: [lv2v, live, fixed, untyped] }, then: deny',
      is: { when: { type: ['lv2v', 'live', 'fixed', ''] } },
    },
    {
      rule:
        'when: { type: [live] }, limit: { price: 0.5 wei, ticketEv: 1.5 gwei, totalEv: 1 gwei, faceValue: 0.1 ether, ' +
        'tickets: 10, sessionEv: 2 ether, sessionDuration: 90s }',
      is: {
        effect: {
          kind: 'limit',
          limits: {
            price: { numerator: 1n, denominator: 2n },
            ticketEv: { numerator: 1_500_000_000n, denominator: 1n },
            totalEv: 10n ** 9n,
            faceValue: 10n ** 17n,
            tickets: 10n,
            sessionEv: 2n * 10n ** 18n,
            sessionDurationMs: 90_000,
          },
        },
      },
    },
    {
      rule: 'window: { per: tenant, every: 15m, ev: 90071992547409930001 wei, tickets: 5, sessions: 0 }',
      is: {
        effect: {
          kind: 'window',
          per: 'tenant',
          windowMs: 900_000,
          limits: { ev: 90_071_992_547_409_930_001n, tickets: 5n, sessions: 0n },
        },
      },
    },
    {
      rule:
        'when: { type: [lv2v] }, limit: { price: 3.6 usd/hour, ticketEv: 0.001 usd, totalEv: 1 usd, faceValue: 2.5 usd, ' +
        'sessionEv: 10 usd }',
      is: {
        effect: {
          kind: 'limit',
          limits: {
            // an hour of 1280 x 720 pixels, 30 times a second
            price: { usd: { numerator: 1n, denominator: 27_648_000_000n } },
            ticketEv: { usd: { numerator: 1n, denominator: 1_000n } },
            totalEv: { usd: { numerator: 1n, denominator: 1n } },
            faceValue: { usd: { numerator: 5n, denominator: 2n } },
            sessionEv: { usd: { numerator: 10n, denominator: 1n } },
          },
        },
      },
    },
    {
      rule: 'when: { type: [live] }, limit: { price: 3.6 usd/hour }',
      is: { effect: { limits: { price: { usd: { numerator: 1n, denominator: 1_000n } } } } },
    },
    {
      rule: 'when: { type: [fixed] }, limit: { price: 0.05 usd }',
      is: { effect: { limits: { price: { usd: { numerator: 1n, denominator: 20n } } } } },
    },
    {
      rule: 'window: { per: tenant, every: 1h, ev: 5 usd }',
      is: { effect: { limits: { ev: { usd: { numerator: 5n, denominator: 1n } } } } },
    },
    {
      rule: 'window: { per: all, every: 31d, tickets: 5 }',
      is: { effect: { windowMs: 2_678_400_000, limits: { tickets: 5n } } },
    },
  ])('takes $rule', ({ rule, is }) => {
    expect(readRule(rule)).toMatchObject(is);
  });

  it('keeps the order of its rules and may have none', () => {
    const rules = '[{ id: b, then: allow }, { id: a, then: deny }]';
    expect(parsePolicy(`default: deny\nrules: ${rules}`, 'policy.yaml').ruleIds).toEqual([
      'b',
      'a',
    ]);
    expect(parsePolicy('default: allow', 'policy.yaml')).toMatchObject({
      default: 'allow',
      ruleIds: [],
    });
  });

  it.each([
    { rule: 'id: -a, then: deny', says: 'rules.0.id: expected 1 to 63 lower-case letters' },
    { rule: `id: ${'a'.repeat(64)}, then: deny`, says: 'rules.0.id: expected 1 to 63' },
    { rule: 'then: deny', says: 'rules.0.id: missing; expected text' },
    { rule: 'id: a', says: 'rules.0: expected exactly one of then, limit, window, found none' },
    {
      rule: 'id: a, then: deny, limit: { tickets: 1 }',
      says: 'rules.0: expected exactly one of then, limit, window, found then and limit',
    },
    ...[
      ['lv2v', '3.6 usd', '"3.6 usd/hour", for an hour of 720p at 30 frames a second'],
      ['live', '3.6 usd', '"3.6 usd/hour"'],
      ['fixed', '3.6 usd/hour', '"0.05 usd", for a request'],
      ['untyped', '3.6 usd', 'wei: payments without a type count pixels'],
      ['untyped', '3.6 usd/hour', 'wei: payments without a type count pixels'],
    ].map(([type, price, expected]) => ({
      rule: `id: a, when: { type: [${type}] }, limit: { price: ${price} }`,
      says: `rules.0.limit.price: in US dollars, expected ${expected}`,
    })),
    {
      rule: 'id: a, limit: { ticketEv: 1 usd/hour }',
      says: 'rules.0.limit.ticketEv: expected an amount',
    },
    {
      rule: 'id: a, window: { per: all, every: 1h, ev: $5 }',
      says: 'rules.0.window.ev: expected an amount',
    },
    { rule: 'id: a, then: maybe', says: 'rules.0.then: expected "allow" or "deny"' },
    {
      rule: 'id: a, mode: warn, then: deny',
      says: 'rules.0.mode: expected "enforce" or "observe"',
    },
    { rule: 'id: a, unless: {}, then: deny', says: 'rules.0.unless: unknown field' },
    { rule: 'id: a, when: { tennant: [x] }, then: deny', says: 'rules.0.when.tennant: unknown' },
    {
      rule: 'id: a, when: { tenant: [] }, then: deny',
      says: 'rules.0.when.tenant: expected at least one',
    },
    {
      rule: 'id: a, when: { tenant: x }, then: deny',
      says: 'rules.0.when.tenant: expected a list',
    },
    {
      rule: 'id: a, when: { tenant: [5] }, then: deny',
      says: 'rules.0.when.tenant.0: expected text',
    },
    {
      rule: 'id: a, when: { recipient: [0x12] }, then: deny',
      says: 'rules.0.when.recipient.0: expected 0x and 40',
    },
    {
      rule: 'id: a, when: { type: [video] }, then: deny',
      says: 'rules.0.when.type.0: expected "lv2v", "live", "fixed" or "untyped"',
    },
    {
      rule: 'id: a, when: { capability: [gpt] }, then: deny',
      says: 'rules.0.when.capability.0: there is no such pipeline; there are text-to-image',
    },
    {
      rule: 'id: a, when: { capability: [llm/] }, then: deny',
      says: 'rules.0.when.capability.0: expected PIPELINE or',
    },
    {
      rule: 'id: a, limit: {}',
      says: 'rules.0.limit: expected at least one limit, such as price or totalEv',
    },
    {
      rule: 'id: a, limit: { totalEv: 100 }',
      says: 'rules.0.limit.totalEv: expected an amount with its unit',
    },
    {
      rule: 'id: a, limit: { totalEv: 0.5 wei }',
      says: 'rules.0.limit.totalEv: expected whole wei',
    },
    {
      rule: 'id: a, limit: { ticketEv: -1 wei }',
      says: 'rules.0.limit.ticketEv: expected an amount',
    },
    { rule: 'id: a, limit: { tickets: -1 }', says: 'rules.0.limit.tickets: ' },
    {
      rule: 'id: a, limit: { sessionDuration: 4 hours }',
      says: 'rules.0.limit.sessionDuration: expected a time',
    },
    {
      rule: 'id: a, limit: { price: 5 wei }',
      says: 'rules.0.limit.price: expected when.type with a single type',
    },
    {
      rule: 'id: a, when: { type: [live, lv2v] }, limit: { price: 5 wei }',
      says: 'rules.0.limit.price: expected when.type with a single type',
    },
    { rule: 'id: a, window: { every: 1h, ev: 1 wei }', says: 'rules.0.window.per: missing' },
    {
      rule: 'id: a, window: { per: all, ev: 1 wei }',
      says: 'rules.0.window.every: missing; expected a time',
    },
    {
      rule: 'id: a, window: { per: all, every: 59s, ev: 1 wei }',
      says: 'rules.0.window.every: expected a time from 1m to 31d',
    },
    {
      rule: 'id: a, window: { per: all, every: 32d, ev: 1 wei }',
      says: 'rules.0.window.every: expected a time from 1m to 31d',
    },
    {
      rule: 'id: a, window: { per: all, every: 1h }',
      says: 'rules.0.window: expected at least one limit, such as ev or tickets',
    },
  ])('refuses { $rule }', ({ rule, says }) => {
    const problems = problemsOf(`default: deny\nrules: [{ ${rule} }]`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(says);
  });

  it.each([
    ['a list', '[{ id: a }]'],
    ['text', 'deny'],
    ['nothing', ''],
    ['fields of which one has no name there is', '{ rules: 1 }'],
    ['a condition that is a list', '{ id: a, when: [1], limit: { price: 1 wei } }'],
    ['a condition that is text', '{ id: a, when: live, limit: { price: 1 usd } }'],
    ['a type that is a number', '{ id: a, when: { type: 5 }, limit: { price: 1 usd } }'],
    ['a type that there is not', '{ id: a, when: { type: [x] }, limit: { price: 1 usd } }'],
    ['a limit that is a number', '{ id: a, limit: 5 }'],
    ['a window that is null', '{ id: a, window: null }'],
  ])('with a rule that is %s is refused by its path', (_, rule) => {
    const problems = problemsOf(`default: deny\nrules:\n- ${rule}\n`);
    expect(problems).not.toEqual([]);
    expect(problems.every((problem) => problem.startsWith('rules.0'))).toBe(true);
  });

  it('lists every problem with its path', () => {
    const text = `
rules:
  - { id: A, when: { tenant: [], colour: [x] }, then: allow, limit: { price: 5 } }
  - { id: b, then: allow }
  - { id: b, window: { per: x, every: 10s } }
extra: 1`;
    expect(problemsOf(text)).toEqual([
      expect.stringContaining('default: missing'),
      expect.stringContaining('rules.0.id: expected'),
      expect.stringContaining('rules.0.when.tenant: expected at least one value'),
      expect.stringContaining('rules.0.when.colour: unknown field'),
      expect.stringContaining('rules.0.limit.price: expected a price'),
      expect.stringContaining(
        'rules.0: expected exactly one of then, limit, window, found then and limit',
      ),
      expect.stringContaining('rules.0.limit.price: expected when.type'),
      expect.stringContaining(
        'rules.2.window.per: expected "principal", "tenant", "orchestrator", "app" or "all"',
      ),
      expect.stringContaining('rules.2.window.every: expected a time'),
      expect.stringContaining('rules.2.window: expected at least one limit'),
      expect.stringContaining('rules.2.id: another rule is called b already'),
      expect.stringContaining('extra: unknown field; there are default, rules'),
    ]);
  });

  it.each([
    {
      text: '',
      says: 'policy.yaml is not a valid policy:\n  the document: expected fields, such as default and rules',
    },
    { text: 'default: allow\nrules: 5', says: 'rules: expected a list' },
    {
      text: 'default: allow\ndefault: deny',
      says: 'policy.yaml is not valid YAML: line 2, column 1: a field is given twice',
    },
    { text: 'default: [', says: 'policy.yaml is not valid YAML' },
    {
      text: '? [default]\n: deny',
      says: 'policy.yaml is not valid YAML: line 1, column 3: the name of a field is no text',
    },
    { text: 'default: allow\nrules: []\nconstructor: 1', says: 'constructor: unknown field;' },
    // names within names, which took minutes
    { text: `${'? '.repeat(800)}default`, says: 'column 1599: the name of a field is no text' },
  ])('refuses $text', ({ text, says }) => {
    expect(() => parsePolicy(text, 'policy.yaml')).toThrow(says);
  });
});

describe('config/policy.schema.json', () => {
  it('is the one that `policy schema` prints', async () => {
    const { status, stdout } = await run(['policy', 'schema']);
    expect(status).toBe(0);
    const hint = 'npm run -s signer -- policy schema > config/policy.schema.json';
    expect(readFileSync(join(root, 'config/policy.schema.json'), 'utf8'), hint).toBe(stdout);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(describePolicy())));
  });

  it('is named in the first line of the ready policy file', () => {
    const [first] = readFileSync(join(root, 'config/policy.yaml'), 'utf8').split('\n');
    expect(first).toBe('# yaml-language-server: $schema=policy.schema.json');
  });
});
