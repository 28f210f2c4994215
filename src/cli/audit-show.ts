import type { Command } from 'commander';
import { type FoundRecord, findBefore, findRequest } from '../audit/find-request.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import { mainRecord, outcomeOf, tellStory } from './audit-story.ts';
import { readingChains, reportFailure, requireChains } from './audit-chains.ts';
import { printRows } from './print-rows.ts';
import { textsOf } from './recorded.ts';
import { endWhenNobodyReads, print, printable, toVisibleJson } from './terminal.ts';

/** How many payments and denials of the session are shown before the one asked for. */
const shownBefore = 5;

export type ShowOptions = { readonly config?: string; readonly json?: boolean };

/** `audit show`: one payment or denial, with what its session did before; exit code 1 where the log has none. */
export async function showRequest(
  requestId: string,
  folder: string | undefined,
  { config, json }: ShowOptions,
  command: Command,
): Promise<void> {
  endWhenNobodyReads();
  if ((folder === undefined) === (config === undefined)) {
    command.error("error: expected either the audit log's folder or '--config <file>'");
  }
  const chains = await requireChains(folder ?? (await auditFolderOf(config ?? '')));
  const found = await readingChains(() => findRequest(chains, requestId));
  const main = mainRecord(found);
  if (!main && found.broken.length === 0) {
    reportFailure(describeUnknown(requestId));
    return;
  }
  const { session = '' } = main ? textsOf(main.record, 'subject') : {};
  const before =
    main && session !== ''
      ? await readingChains(() => findBefore(chains, session, main.record.time, shownBefore))
      : [];
  if (json === true) {
    const { broken, records } = found;
    const outcome = main ? outcomeOf(found) : null;
    await print(
      toVisibleJson({
        request: requestId,
        outcome,
        records: flat(records),
        before: flat(before),
        broken,
      }),
    );
  } else {
    printRows(tellStory(found, before));
  }
  if (found.broken.length > 0) process.exitCode = 1;
}

const flat = (found: readonly FoundRecord[]): object[] =>
  found.map(({ chain, record }) => ({ chain, ...record }));

/** The folder of the audit log that a configuration names. Throws `CONFIG_INVALID`. */
export async function auditFolderOf(path: string): Promise<string> {
  const { settings, resolvePath } = await loadConfig(path);
  if (settings.audit) return resolvePath(settings.audit.path);
  throw new ConfigError('CONFIG_INVALID', 'audit.path: missing; nothing is recorded');
}

/** The message for a request that the log does not have. */
export function describeUnknown(requestId: string): string {
  return (
    `the audit log has no request ${printable(requestId)}: it is of another instance, was archived, or is of those that are not ` +
    'recorded (docs/audit.md); the log has them by request_id'
  );
}
