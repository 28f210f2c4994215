import type { Spend, WindowCharge } from '../policy/limits/ledger.ts';
import { spendKinds } from '../policy/limits/windows.ts';
import { formatDuration } from '../policy/rules/duration.ts';
import { describeRefusal } from '../policy/describe-refusal.ts';
import type { RuleVerdict } from '../policy/rules/evaluate.ts';
import type { RuleExplanation } from '../policy/rules/explain.ts';
import type { ChainedRecord } from '../audit/record.ts';
import type { Outcome } from './audit-story.ts';
import type { Row } from './print-rows.ts';
import { textOf } from './recorded.ts';
import { inWords, printable } from './terminal.ts';

/** `allow`, or the refusal that a client would get. */
export function describeVerdict(verdict: RuleVerdict): string {
  return verdict.kind === 'allow'
    ? 'allow'
    : `deny (${describeRefusal(verdict.refusal)}) [${verdict.refusal.code}]`;
}

/** A rule with its effect, and its finding on the payment. */
export function describeExplanation(explanation: RuleExplanation): Row {
  const { id, effect, mode } = explanation.rule;
  const kind = mode === 'observe' ? `${effect.kind}, observe` : effect.kind;
  return [`${id} (${kind})`, describeFinding(explanation)];
}

function describeFinding({ rule, unmet, finding }: RuleExplanation): string {
  if (unmet.length > 0) return `does not match: ${unmet.join(', ')}`;
  if (finding.refusal) {
    const message = describeRefusal(finding.refusal);
    return rule.mode === 'observe' ? `matches, without effect: ${message}` : `matches: ${message}`;
  }
  if (finding.charge) return `matches: counts ${describeScope(finding.charge)}`;
  return rule.effect.kind === 'limit' ? 'matches: within its limits' : 'matches: allowed';
}

function describeScope({ scope }: WindowCharge): string {
  return scope === '' ? 'in a window shared by all' : `in the window of ${printable(scope)}`;
}

/** A row for each limit of a window: what was spent, and what is left of it. */
export function describeUsage(charge: WindowCharge, spent: Spend): Row[] {
  return spendKinds.flatMap((kind): Row[] => {
    const maximum = charge.limits[kind];
    if (maximum === undefined) return [];
    const left = maximum > spent[kind] ? maximum - spent[kind] : 0n;
    const unit = kind === 'ev' ? ' wei' : '';
    const scope = charge.scope === '' ? '' : printable(charge.scope);
    const name = [charge.ruleId, scope, formatDuration(charge.windowMs), kind];
    return [
      [
        name.filter(Boolean).join(' '),
        `${spent[kind].toString()} of ${maximum.toString()}${unit} used, ${left.toString()}${unit} left`,
      ],
    ];
  });
}

/** The outcome of a recorded payment. */
export function describeThen(record: ChainedRecord, outcome: Outcome): Row[] {
  const [code, rule] = [textOf(record, 'code'), textOf(record, 'rule')];
  const denied = `denied: ${printable(code)}${rule === '' ? '' : `, by rule ${printable(rule)}`}`;
  return [
    ['then', `${printable(record.time)}, ${outcome === 'denied' ? denied : outcome}`],
    ...(outcome === 'denied' ? [['message', inWords(textOf(record, 'message'))] as const] : []),
  ];
}

/** The differences between a recorded payment and the present verdict of the rules on it. */
export function describeChange(record: ChainedRecord, verdict: RuleVerdict): string {
  const [code, rule] = [textOf(record, 'code'), textOf(record, 'rule')];
  const wasDenied = record.kind === 'denied';
  if (wasDenied && rule === '' && code !== 'NO_RULE_ALLOWS') {
    return (
      `no rule refused it then, but ${printable(code)}, which the policy file does not decide: ` +
      'it would be refused again unless that has changed'
    );
  }
  if (verdict.kind === 'allow') {
    return wasDenied
      ? 'changed: it was denied then, and the rules would allow it now'
      : 'as then: allowed';
  }
  if (!wasDenied) return 'changed: the rules allowed it then, and would deny it now';
  const isSame = verdict.refusal.code === code && (verdict.ruleId ?? '') === rule;
  return isSame
    ? 'as then: the same rule denies it'
    : `changed: denied as then, but by ${verdict.ruleId === undefined ? verdict.refusal.code : `rule ${verdict.ruleId}`}`;
}
