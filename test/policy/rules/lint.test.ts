import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../src/config/policy-file.ts';
import { lintPolicy } from '../../../src/policy/rules/lint.ts';
import { root } from '../../cli/cli.ts';

function lint(text: string): string[] {
  return lintPolicy(parsePolicy(text, 'policy.yaml'));
}

describe('lint', () => {
  it.each([
    {
      what: 'an allow where the default is to allow',
      text: 'default: allow\nrules: [{ id: a, when: { tenant: [acme] }, then: allow }]',
      says: [
        'rule a has no effect: the default is to allow, and an allow does not win over a deny',
      ],
    },
    {
      what: 'an allow in mode observe',
      text: 'default: deny\nrules: [{ id: a, then: allow }, { id: b, mode: observe, then: allow }]',
      says: ['rule b has no effect: an allow in mode observe neither allows nor reports anything'],
    },
    {
      what: 'a default of deny without any allow',
      text: 'default: deny\nrules: [{ id: a, limit: { tickets: 1 } }]',
      says: ['every payment is denied: the default is to deny, and no rule allows any'],
    },
    {
      what: 'a default of deny with an observed allow only',
      text: 'default: deny\nrules: [{ id: a, mode: observe, then: allow }]',
      says: [
        'rule a has no effect: an allow in mode observe neither allows nor reports anything',
        'every payment is denied: the default is to deny, and no rule allows any',
      ],
    },
    {
      what: 'a deny without conditions',
      text: 'default: deny\nrules: [{ id: a, when: { tenant: [x] }, then: allow }, { id: b, then: deny }]',
      says: [
        'rule a has no effect: rule b denies every payment that it matches',
        'every payment is denied: rule b has no conditions',
      ],
    },
    {
      what: 'a rule under a deny of more payments',
      text:
        'default: allow\nrules:\n' +
        '  - { id: a, when: { tenant: [x, y], capability: [llm] }, then: deny }\n' +
        '  - { id: b, when: { tenant: [x], app: [z], capability: [llm/one] }, limit: { tickets: 1 } }\n',
      says: ['rule b has no effect: rule a denies every payment that it matches'],
    },
    {
      what: 'a rule for BYOC jobs by what they have not',
      text:
        'default: allow\nrules:\n' +
        '  - { id: a, when: { kind: [byocJob], type: [live] }, then: deny }\n' +
        '  - { id: b, when: { kind: [byocJob] }, limit: { tickets: 1 } }\n' +
        '  - { id: c, when: { kind: [byocJob, payment], type: [live] }, limit: { tickets: 1 } }\n',
      says: [
        'rule a has no effect: BYOC jobs have no type',
        'rule b has no effect: BYOC jobs pay nothing',
      ],
    },
    {
      what: 'the second one of two that deny the same',
      text: 'default: allow\nrules: [{ id: a, when: { app: [z] }, then: deny }, { id: b, when: { app: [z] }, then: deny }]',
      says: ['rule b has no effect: rule a denies every payment that it matches'],
    },
  ])('warns of $what', ({ text, says }) => {
    expect(lint(text)).toEqual(says);
  });

  it.each([
    { what: 'an empty policy that allows', text: 'default: allow' },
    {
      what: 'an observed deny without conditions',
      text: 'default: allow\nrules: [{ id: a, mode: observe, then: deny }, { id: b, limit: { tickets: 1 } }]',
    },
    {
      what: 'an allow that a deny overlaps with only in part',
      text:
        'default: deny\nrules:\n' +
        '  - { id: a, when: { tenant: [x, y] }, then: allow }\n' +
        '  - { id: b, when: { tenant: [y] }, then: deny }\n' +
        '  - { id: c, when: { capability: [llm/one] }, then: deny }\n' +
        '  - { id: d, when: { capability: [llm] }, then: allow }\n',
    },
    { what: 'the ready policy file', text: readFileSync(join(root, 'config/policy.yaml'), 'utf8') },
  ])('has nothing to say of $what', ({ text }) => {
    expect(lint(text)).toEqual([]);
  });

  const values = {
    kind: ['payment', 'byocJob'],
    principal: ['a', 'b'],
    tenant: ['a', 'b'],
    app: ['a', 'b'],
    orchestrator: [`0x${'a'.repeat(40)}`, `0x${'b'.repeat(40)}`],
    recipient: [`0x${'a'.repeat(40)}`, `0x${'b'.repeat(40)}`],
    type: ['live', 'fixed'],
    capability: ['llm/a', 'llm/b'],
  };

  it.each(Object.entries(values))(
    'knows a deny of less, of more and of other payments by their %s',
    (key, [first = '', second = '']) => {
      const says = (denied: string, limited: string): string[] =>
        lint(
          `default: allow\nrules:\n  - { id: no${denied}, then: deny }\n  - { id: few${limited}, limit: { tickets: 1 } }\n`,
        );
      const when = (...listed: string[]): string =>
        `, when: { ${key}: [${listed.map((value) => `"${value}"`).join(', ')}] }`;
      const shadowed = 'rule few has no effect: rule no denies every payment that it matches';
      expect(says(when(first), when(first))).toContain(shadowed);
      expect(says(when(first, second), when(second))).toContain(shadowed);
      expect(says(when(first), when(first, second))).not.toContain(shadowed);
      expect(says(when(first), when(second))).not.toContain(shadowed);
      expect(says(when(first), '')).not.toContain(shadowed);
    },
  );

  it.each([
    ['llm', 'llm/a', true],
    ['llm', 'llm', true],
    ['llm/a', 'llm', false],
    ['upscale', 'llm/a', false],
  ])('knows whether a deny of %s is one of %s: %s', (denied, limited, isShadowed) => {
    const text =
      `default: allow\nrules:\n  - { id: no, when: { capability: [${denied}] }, then: deny }\n` +
      `  - { id: few, when: { capability: [${limited}] }, limit: { tickets: 1 } }\n`;
    expect(lint(text).length > 0).toBe(isShadowed);
  });

  it.each([
    ['mode: observe, then: deny', 'when: { app: [a] }, then: deny'],
    ['limit: { tickets: 1 }', 'limit: { tickets: 2 }'],
    ['when: { app: [a] }, then: deny', 'when: { tenant: [a] }, then: deny'],
  ])('takes neither of %s and %s for the other’s end', (first, second) => {
    const text = `default: allow\nrules:\n  - { id: a, ${first} }\n  - { id: b, ${second} }\n`;
    expect(lint(text).filter((line) => line.includes('denies every payment that'))).toEqual([]);
  });

  it.each([
    'app: [a]',
    `orchestrator: ["0x${'a'.repeat(40)}"]`,
    `recipient: ["0x${'a'.repeat(40)}"]`,
  ])('knows that BYOC jobs have no %s', (condition) => {
    const text = `default: allow\nrules: [{ id: a, when: { kind: [byocJob], ${condition} }, then: deny }]`;
    expect(lint(text)).toEqual([
      `rule a has no effect: BYOC jobs have no ${condition.replace(/:.*/, '')}`,
    ]);
  });

  it('of three that deny the same names the first for each of the others', () => {
    const rule = (id: string) => `{ id: ${id}, when: { app: [z] }, then: deny }`;
    expect(lint(`default: allow\nrules: [${['a', 'b', 'c'].map(rule).join(', ')}]`)).toEqual([
      'rule b has no effect: rule a denies every payment that it matches',
      'rule c has no effect: rule a denies every payment that it matches',
    ]);
  });
});
