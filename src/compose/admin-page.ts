import { stat } from 'node:fs/promises';
import type {
  AuditHead,
  AuditView,
  PageSource,
  RecordedDenial,
  SwitchView,
} from '../admin/page/page-source.ts';
import { listChainFiles, listChains } from '../audit/files.ts';
import { readNotedEnd } from '../audit/noted-end.ts';
import { type ChainedRecord, decodeRecord } from '../audit/record.ts';
import { createChainTail } from '../audit/tail-chain.ts';
import { readVerified } from '../audit/verified-note.ts';
import type { Config } from '../config/load.ts';
import { isSignerError } from '../errors.ts';
import type { SigningSwitch } from '../policy/switch/signing-switch.ts';
import type { Logger } from '../telemetry/logger.ts';
import { openSigningSwitch } from './signing-switch.ts';

/** The audit log's chain that records the use of the page's switch. */
const auditChain = 'page';

/**
 * What the operator's page needs besides status and metrics: the end of the audit log, and the switch, which is opened when it is
 * first asked for.
 */
export function openPageParts(
  config: Config,
  logger: Logger,
): Omit<PageSource, 'status' | 'metrics'> & { close(): Promise<void> } {
  const folder = config.settings.audit && config.resolvePath(config.settings.audit.path);
  let opening: Promise<SigningSwitch & AsyncDisposable> | undefined;
  const opened = (): Promise<SigningSwitch & AsyncDisposable> => {
    opening ??= openSigningSwitch(config, logger, auditChain).catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  return {
    readAudit: async () => (folder === undefined ? undefined : readAudit(folder)),
    async readSwitch(): Promise<SwitchView> {
      try {
        return await (await opened()).state();
      } catch (error) {
        if (!isSignerError(error)) throw error;
        return { kind: 'unknown', why: error.message };
      }
    },
    pause: async (order) => (await opened()).pause(order),
    resume: async (order) => (await opened()).resume(order),
    close: async () => {
      await (await opening?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

const mostDenials = 20;
/** How many of each chain's last records are searched for denials. */
const lookedAt = 500;

/** Reads the end of the audit log; undefined where the folder can't be read. */
async function readAudit(folder: string): Promise<AuditView | undefined> {
  const chains = await listChains(folder).catch(() => undefined);
  if (!chains) return undefined;
  const heads = await Promise.all(chains.map(({ name, path }) => readHead(name, path)));
  const lines = await Promise.all(
    chains.map(({ path }) =>
      createChainTail(path)
        .last(lookedAt)
        .catch(() => []),
    ),
  );
  const denials = lines
    .flat()
    .map(decodeRecord)
    .filter((record) => typeof record !== 'string')
    .filter(({ kind }) => kind === 'denied')
    .sort((a, b) => (a.time < b.time ? 1 : -1))
    .slice(0, mostDenials)
    .map(toDenial);
  return {
    heads: heads.filter((head) => head !== undefined),
    denials,
    verifiedAt: await readVerified(folder),
  };
}

async function readHead(chain: string, path: string): Promise<AuditHead | undefined> {
  try {
    const [end, files] = await Promise.all([readNotedEnd(path), listChainFiles(path)]);
    const newest = files.at(-1);
    if (!end || !newest) return undefined;
    const { mtime } = await stat(newest.path);
    return { chain, seq: end.seq, hash: end.hash, writtenAt: mtime.toISOString() };
  } catch {
    return undefined;
  }
}

/** The fields of a record that say nothing of the denial itself. */
const ofChain = ['seq', 'time', 'prev', 'kind', 'hash'];

function toDenial(record: ChainedRecord): RecordedDenial {
  const { code = '', request: requestId = '', ...members } = flatten(record);
  const facts = Object.entries(members).filter(([name]) => !ofChain.includes(name));
  return { time: record.time, code, requestId, facts: Object.fromEntries(facts) };
}

/** Flattens nested members under joined names, such as `amounts.evWei`, and lists under their numbers. */
function flatten(value: object): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]: [string, unknown]) =>
      typeof member === 'object' && member !== null
        ? Object.entries(flatten(member)).map(([inner, text]) => [`${name}.${inner}`, text])
        : [[name, String(member)]],
    ) as [string, string][],
  );
}
