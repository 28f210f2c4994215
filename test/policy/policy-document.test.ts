import { describe, expect, it } from 'vitest';
import { parseCases } from '../../src/config/policy-cases.ts';
import { parsePolicy } from '../../src/config/policy-file.ts';
import { describePolicy } from '../../src/config/policy-schema.ts';
import { describeRefusal } from '../../src/policy/describe-refusal.ts';
import { nothingSpent } from '../../src/policy/limits/windows.ts';
import { evaluateAfter } from '../../src/policy/rules/explain.ts';
import { lintPolicy } from '../../src/policy/rules/lint.ts';
import { codeRows, readDocument } from '../docs/markdown.ts';

const text = readDocument('docs/policy.md');
const blocks = [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, block = '']) => block);

/** The single YAML block that begins so. */
function blockOf(start: string): string {
  const [block, ...others] = blocks.filter((block) => block.startsWith(start));
  if (block === undefined || others.length > 0) throw new Error(`no single block: ${start}`);
  return block;
}

type Node = {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly default?: string;
};

/** Each field that holds a value, with its default; list items are `[]`. */
function fieldsOf(node: Node, path = ''): [field: string, preset: string][] {
  if (node.items?.properties) return fieldsOf(node.items, `${path}[]`);
  if (!node.properties) return [[path, node.default ?? '']];
  return Object.entries(node.properties).flatMap(([name, child]) =>
    fieldsOf(child, path === '' ? name : `${path}.${name}`),
  );
}

describe('docs/policy.md', () => {
  it('has each field once with its default, and no other', () => {
    const documented = codeRows(text)
      .filter(({ cells }) => cells.length === 4)
      .map(({ cells }) => [cells[0], cells[2]?.replaceAll('`', '')]);
    expect(documented.toSorted()).toEqual(fieldsOf(describePolicy() as Node).toSorted());
  });

  it('shows a policy that is valid and means what it says', () => {
    expect(lintPolicy(parsePolicy(blockOf('default:'), 'docs/policy.md'))).toEqual([]);
  });

  it('shows cases that the policy it shows passes', () => {
    const policy = parsePolicy(blockOf('default:'), 'docs/policy.md');
    const { cases } = parseCases(blockOf('policy: policy.yaml'), 'docs/policy.md');
    for (const { name, facts, spent, expect: kind, rule, observed } of cases) {
      const verdict = evaluateAfter(
        ({ ruleId }) => spent.get(ruleId) ?? nothingSpent,
        policy,
        facts,
      );
      expect({ name, kind: verdict.kind }).toEqual({ name, kind });
      if (rule !== undefined) expect(verdict).toMatchObject({ ruleId: rule });
      if (observed) expect(verdict.observed).toEqual(observed);
    }
    expect(cases.length).toBeGreaterThan(4);
  });

  it('quotes a denial as clients see it', () => {
    const policy = parsePolicy(blockOf('default:'), 'docs/policy.md');
    const { cases } = parseCases(blockOf('policy: policy.yaml'), 'docs/policy.md');
    const facts = cases.find(({ name }) => name.startsWith('twelve tickets'))?.facts;
    if (!facts) throw new Error('the case is gone');
    const verdict = evaluateAfter(() => nothingSpent, policy, facts);
    if (verdict.kind === 'allow') throw new Error('it is allowed');
    expect(text).toContain(
      JSON.stringify({ error: { message: describeRefusal(verdict.refusal) } }),
    );
  });
});
