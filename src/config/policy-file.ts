import type { z } from 'zod';
import {
  type CompiledPolicy,
  type RuleDefinition,
  type RuleEffect,
  compilePolicy,
} from '../policy/rules/compile.ts';
import type { PaymentType } from '../pm/billing.ts';
import { parsePolicyYaml } from './parse-policy-yaml.ts';
import { policySchema } from './policy-schema.ts';
import { pricePerUnit } from './units.ts';

/** Reads a policy file. Throws `CONFIG_INVALID` with every problem and its path. */
export function parsePolicy(text: string, path: string): CompiledPolicy {
  const document = parsePolicyYaml(policySchema, text, path, 'policy');
  return compilePolicy({ default: document.default, rules: document.rules.map(readRule) });
}

type Rule = z.output<typeof policySchema>['rules'][number];

function readRule({ id, mode, when, ...rule }: Rule): RuleDefinition {
  return { id, mode, when, effect: readEffect(rule, when.type?.[0]) };
}

function readEffect(
  { then, limit, window }: Pick<Rule, 'then' | 'limit' | 'window'>,
  type: PaymentType = '',
): RuleEffect {
  if (limit) {
    const { sessionDuration, price: written, ...limits } = limit;
    const price = written && pricePerUnit(written, type);
    return {
      kind: 'limit',
      limits: {
        ...limits,
        ...(price && { price }),
        ...(sessionDuration !== undefined && { sessionDurationMs: sessionDuration }),
      },
    };
  }
  if (window) {
    const { per, every, ...limits } = window;
    return { kind: 'window', per, windowMs: every, limits };
  }
  return { kind: then === 'allow' ? 'allow' : 'deny' };
}
