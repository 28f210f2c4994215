import type { z } from 'zod';
import {
  type CompiledPolicy,
  type RuleDefinition,
  type RuleEffect,
  compilePolicy,
} from '../policy/rules/compile.ts';
import { parsePolicyYaml } from './parse-policy-yaml.ts';
import { policySchema } from './policy-schema.ts';

/** Reads a policy file. Throws `CONFIG_INVALID` with every problem and its path. */
export function parsePolicy(text: string, path: string): CompiledPolicy {
  const document = parsePolicyYaml(policySchema, text, path, 'policy');
  return compilePolicy({ default: document.default, rules: document.rules.map(readRule) });
}

type Rule = z.output<typeof policySchema>['rules'][number];

function readRule({ id, mode, when, ...rule }: Rule): RuleDefinition {
  return { id, mode, when, effect: readEffect(rule) };
}

function readEffect({ then, limit, window }: Pick<Rule, 'then' | 'limit' | 'window'>): RuleEffect {
  if (limit) {
    const { sessionDuration, ...limits } = limit;
    return {
      kind: 'limit',
      limits:
        sessionDuration === undefined ? limits : { ...limits, sessionDurationMs: sessionDuration },
    };
  }
  if (window) {
    const { per, every, ...limits } = window;
    return { kind: 'window', per, windowMs: every, limits };
  }
  return { kind: then === 'allow' ? 'allow' : 'deny' };
}
