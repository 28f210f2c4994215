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

/** A policy file as its schema reads it; it can be handed from thread to thread. */
export type PolicyDocument = z.output<typeof policySchema>;

/** Reads a policy file. Throws `CONFIG_INVALID` with every problem and its path. */
export function readPolicyDocument(text: string, path: string): PolicyDocument {
  return parsePolicyYaml(policySchema, text, path, 'policy');
}

/** The rules of a policy file, ready to be evaluated. */
export function toPolicy({ default: otherwise, rules }: PolicyDocument): CompiledPolicy {
  return compilePolicy({ default: otherwise, rules: rules.map(readRule) });
}

/** Reads a policy file. Throws as {@link readPolicyDocument}. */
export function parsePolicy(text: string, path: string): CompiledPolicy {
  return toPolicy(readPolicyDocument(text, path));
}

type Rule = PolicyDocument['rules'][number];

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
