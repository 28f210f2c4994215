import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { openStore } from '../compose/store.ts';
import { readRules } from '../compose/rules.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { type PolicyCase, parseCases, parseRequest } from '../config/policy-cases.ts';
import { parsePolicy } from '../config/policy-file.ts';
import { describePolicy } from '../config/policy-schema.ts';
import { readTextFile } from '../config/read-text-file.ts';
import { ConfigError, isSignerError } from '../errors.ts';
import { createLogger } from '../telemetry/logger.ts';
import type { Spend, WindowCharge } from '../policy/limits/ledger.ts';
import { nothingSpent } from '../policy/limits/windows.ts';
import type { CompiledPolicy } from '../policy/rules/compile.ts';
import type { RuleVerdict } from '../policy/rules/evaluate.ts';
import { type RuleExplanation, evaluateAfter, explainRules } from '../policy/rules/explain.ts';
import { lintPolicy } from '../policy/rules/lint.ts';
import { findRequest } from '../audit/find-request.ts';
import { readingChains, reportFailure, requireChains } from './audit-chains.ts';
import { auditFolderOf, describeUnknown } from './audit-show.ts';
import { mainRecord, outcomeOf } from './audit-story.ts';
import {
  describeChange,
  describeExplanation,
  describeThen,
  describeUsage,
  describeVerdict,
} from './policy-format.ts';
import { factsOfRecord, spentAsRecorded } from './recorded.ts';
import { printRows } from './print-rows.ts';

/** `policy schema`: what `config/policy.schema.json` holds. */
export function printPolicySchema(): void {
  process.stdout.write(`${JSON.stringify(describePolicy(), null, 2)}\n`);
}

/** `policy check`: throws `CONFIG_INVALID` with every problem; prints what is valid but looks like a mistake. */
export async function checkPolicy(
  file: string | undefined,
  { config }: { readonly config?: string },
  command: Command,
): Promise<void> {
  if ((file === undefined) === (config === undefined)) {
    command.error("error: expected either a policy file or '--config <file>'");
  }
  const { path, policy } =
    config === undefined ? readPolicyFile(file ?? '') : readRules(await loadConfig(config));
  const count = policy.rules.length;
  process.stdout.write(`${path} is valid: ${count} ${count === 1 ? 'rule' : 'rules'}\n`);
  for (const warning of lintPolicy(policy)) process.stdout.write(`warning: ${warning}\n`);
}

function readPolicyFile(path: string): { path: string; policy: CompiledPolicy } {
  return { path, policy: parsePolicy(readTextFile(path, 'policy file'), path) };
}

/** `policy test`: judges the cases of a file; exit code 1 when one does not end as expected. */
export function testPolicy(file: string): void {
  const path = resolve(file);
  const { policy: policyPath, cases } = parseCases(readTextFile(path, 'file'), path);
  const { policy } = readPolicyFile(resolve(dirname(path), policyPath));
  requireKnownRules(path, cases, policy);
  let failed = 0;
  for (const testCase of cases) {
    const found = describeDifference(policy, testCase);
    if (found !== undefined) failed += 1;
    process.stdout.write(
      found === undefined ? `ok    ${testCase.name}\n` : `FAIL  ${testCase.name}: ${found}\n`,
    );
  }
  process.stdout.write(`${cases.length - failed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}

/** Requires that all rules named in a case exist: a case must not pass because its rule was renamed. */
function requireKnownRules(
  path: string,
  cases: readonly PolicyCase[],
  { rules, ruleIds }: CompiledPolicy,
): void {
  const windows = rules.filter(({ effect }) => effect.kind === 'window').map(({ id }) => id);
  const problems = cases.flatMap(({ spent, rule, observed = [] }, index) => [
    ...[...spent.keys()]
      .filter((id) => !windows.includes(id))
      .map((id) => `cases.${index}.spent: the policy has no rule ${id} with a window`),
    ...[...(rule === undefined ? [] : [rule]), ...observed]
      .filter((id) => !ruleIds.includes(id))
      .map((id) => `cases.${index}: the policy has no rule ${id}`),
  ]);
  if (problems.length === 0) return;
  throw new ConfigError(
    'CONFIG_INVALID',
    `${path} does not fit its policy:\n${problems.map((line) => `  ${line}`).join('\n')}`,
  );
}

/** How a case differs from what is expected; undefined when it does not. */
function describeDifference(
  policy: CompiledPolicy,
  { facts, spent, expect, rule, observed }: PolicyCase,
): string | undefined {
  const verdict = evaluateAfter(({ ruleId }) => spent.get(ruleId) ?? nothingSpent, policy, facts);
  if (verdict.kind !== expect) return `expected ${expect}, found ${describeVerdict(verdict)}`;
  if (verdict.kind === 'deny' && rule !== undefined && verdict.ruleId !== rule) {
    return `expected rule ${rule} to deny, found ${describeVerdict(verdict)}`;
  }
  const expected = formatIds(observed ?? verdict.observed);
  const found = formatIds(verdict.observed);
  return expected === found ? undefined : `expected to observe ${expected}, found ${found}`;
}

function formatIds(ids: readonly string[]): string {
  return ids.length === 0 ? 'none' : ids.toSorted().join(', ');
}

type ExplainOptions = {
  readonly config: string;
  readonly request?: string;
  readonly policy?: string;
};

/**
 * `policy explain`: which rules match a payment, the verdict, and what is left in its windows; for a payment of the audit log
 * also what differs from the decision then.
 */
export async function explainPolicy(
  file: string | undefined,
  options: ExplainOptions,
  command: Command,
): Promise<void> {
  if ((file === undefined) === (options.request === undefined)) {
    command.error("error: expected either a file with the payment or '--request <id>'");
  }
  const config = await loadConfig(options.config);
  const { policy } =
    options.policy === undefined ? readRules(config) : readPolicyFile(options.policy);
  if (options.request !== undefined) {
    await explainRecorded(options.config, policy, options.request);
    return;
  }
  const facts = parseRequest(readTextFile(file ?? '', 'file'), file ?? '');
  const explanations = explainRules(policy, facts);
  const charges = explanations.flatMap(({ finding }) => finding.charge ?? []);
  const usage = charges.length === 0 ? [] : await readUsage(config, charges);
  const spentIn = ({ ruleId }: WindowCharge): Spend => {
    const index = charges.findIndex((charge) => charge.ruleId === ruleId);
    return (typeof usage === 'string' ? undefined : usage[index]) ?? nothingSpent;
  };
  printExplanations(explanations, typeof usage === 'string' ? usage : undefined, spentIn);
  printVerdict(evaluateAfter(spentIn, policy, facts));
}

/** Explains a recorded payment. Windows are as the record has them: their present state says nothing about that time. */
async function explainRecorded(
  config: string,
  policy: CompiledPolicy,
  requestId: string,
): Promise<void> {
  const chains = await requireChains(await auditFolderOf(config));
  const found = await readingChains(() => findRequest(chains, requestId));
  const main = mainRecord(found);
  if (!main) {
    reportFailure(found.broken[0] ?? describeUnknown(requestId));
    return;
  }
  const { record } = main;
  const facts = factsOfRecord(record);
  printRows(describeThen(record, outcomeOf(found)));
  process.stdout.write('\n');
  if (typeof facts === 'string') {
    reportFailure(`the payment can't be judged anew: ${facts}`);
    return;
  }
  const spentIn = (charge: WindowCharge): Spend => spentAsRecorded(record, charge) ?? nothingSpent;
  const explanations = explainRules(policy, facts);
  const isUnknown = explanations
    .flatMap(({ finding }) => finding.charge ?? [])
    .some((charge) => spentAsRecorded(record, charge) === undefined);
  printExplanations(explanations, undefined, spentIn);
  if (isUnknown) {
    process.stdout.write('what is not on record of windows counts as nothing spent\n');
  }
  const verdict = evaluateAfter(spentIn, policy, facts);
  printVerdict(verdict);
  process.stdout.write(`${describeChange(record, verdict)}\n`);
}

function printExplanations(
  explanations: readonly RuleExplanation[],
  problem: string | undefined,
  spentIn: (charge: WindowCharge) => Spend,
): void {
  if (explanations.length > 0) printRows(explanations.map(describeExplanation));
  const charges = explanations.flatMap(({ finding }) => finding.charge ?? []);
  if (charges.length === 0) return;
  process.stdout.write('\n');
  if (problem === undefined) {
    printRows(charges.flatMap((charge) => describeUsage(charge, spentIn(charge))));
  } else {
    process.stdout.write(`what was spent in windows is unknown: ${problem}\n`);
  }
}

function printVerdict(verdict: RuleVerdict): void {
  process.stdout.write(`\nverdict: ${describeVerdict(verdict)}\n`);
  if (verdict.observed.length > 0) {
    process.stdout.write(`would deny if enforced: ${verdict.observed.join(', ')}\n`);
  }
}

/** What was spent in each window, or why that can't be read. */
async function readUsage(
  config: Config,
  charges: readonly WindowCharge[],
): Promise<readonly Spend[] | string> {
  try {
    const store = await openStore(config, createLogger('error'));
    await using opened = new AsyncDisposableStack();
    opened.defer(() => store.close());
    const ledger = await store.openLedger();
    opened.defer(() => ledger.close());
    return await ledger.usage(charges);
  } catch (error) {
    if (isSignerError(error)) return error.message;
    throw error;
  }
}
