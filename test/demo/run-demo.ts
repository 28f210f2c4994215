import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Payment } from '../../src/wire/net_pb.ts';
import { GatewaySession } from '../gateway/gateway-session.ts';
import { advance, fetchStats } from '../sandbox-orchestrator/admin-client.ts';
import { toInteger } from '../sandbox-orchestrator/bytes.ts';
import type { SandboxStats } from '../sandbox-orchestrator/stats.ts';
import { maxWinProb } from '../sandbox-orchestrator/ticket.ts';
import { testSeed } from '../support/random.ts';
import type { ProcessGroup } from './managed-process.ts';
import { type Column, formatHeading, formatRow, groupDigits } from './table.ts';

const root = resolve(import.meta.dirname, '../..');

/** A second of 720p video at 1200 wei a pixel, and of live time: 27 648 000 · 1200 wei. */
const secondPriceWei = 33_177_600_000n;
/** A ticket is worth about a second, and one in ten wins. */
const ticketEvWei = secondPriceWei;
const faceValueWei = 10n * ticketEvWei;

const cadenceMs = 500;
const timeLimitMs = 30_000;
/** After this many payments a session gets ticket params that the signer finds expired. */
export const staleAfterPayments = 4;
/** Params live 40 blocks; from a view this far behind, one block is left for a signer that is up to date. */
const blocksBehind = 39;

const columns: readonly Column[] = [
  { heading: '#', width: 3, align: 'right' },
  { heading: 'time', width: 7, align: 'right' },
  { heading: 'session', width: 8, align: 'left' },
  { heading: 'type', width: 4, align: 'left' },
  { heading: 'status', width: 10, align: 'left' },
  { heading: 'tickets', width: 7, align: 'right' },
  { heading: 'EV (wei)', width: 17, align: 'right' },
  { heading: 'credit at O (wei)', width: 17, align: 'right' },
  { heading: 'winners', width: 7, align: 'right' },
];

/** One session as the demo watches it. */
type Watched = {
  readonly type: 'lv2v' | 'live';
  readonly orchestratorUrl: string;
  readonly session: GatewaySession;
  payments: number;
  tickets: number;
  refreshes: number;
  skipped: number;
};

export type DemoOptions = {
  /** The signer's configuration file; a relative path starts at the project's folder. */
  readonly config: string;
  /** For the signer, beside this process's own environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** How many payments each session makes at least; more than {@link staleAfterPayments}. */
  readonly paymentsPerSession: number;
  /** Takes the processes that are started; the caller ends them. */
  readonly processes: ProcessGroup;
  readonly print: (line: string) => void;
};

export type DemoResult = {
  /** What the signer pays from. */
  readonly address: string;
  readonly payments: number;
  readonly tickets: number;
  readonly winningTickets: number;
  readonly elapsedMs: number;
  readonly expectations: readonly { readonly claim: string; readonly holds: boolean }[];
};

/**
 * Starts a signer and two sandbox orchestrators, each a process of its own, and pays both through the signer over HTTP, as a
 * gateway does. One session pays for video (`lv2v`), one for time (`live`). Throws when the signer does not start or refuses
 * a payment, or when an orchestrator does.
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { paymentsPerSession, print } = options;
  const { url, address } = await startSigner(options);
  const watched = await Promise.all([
    startSession(options, url, 'lv2v', 1200n),
    startSession(options, url, 'live', secondPriceWei),
  ]);
  const elapsedMs = await drive(watched, options);
  const accounts = await Promise.all(
    watched.map(async (each) => ({ ...each, stats: await fetchStats(each.orchestratorUrl) })),
  );
  for (const { type, stats } of accounts) {
    for (const { senderNonce, recipientRandHash, faceValueWei: wei } of stats.winners) {
      const params = recipientRandHash.slice(0, 10);
      print(`winner: ${type}, params ${params}…, nonce ${senderNonce}, ${groupDigits(wei)} wei`);
    }
  }
  return {
    address,
    payments: sum(watched.map(({ payments }) => payments)),
    tickets: sum(watched.map(({ tickets }) => tickets)),
    winningTickets: sum(accounts.map(({ stats }) => stats.winners.length)),
    elapsedMs,
    expectations: judge(accounts, paymentsPerSession),
  };
}

async function startSigner({
  config,
  environment,
  processes,
  print,
}: DemoOptions): Promise<{ url: string; address: string }> {
  const script = 'src/cli/livepeer-hsm-signer.ts';
  if (!existsSync(resolve(root, script))) {
    throw new Error(`${resolve(root, script)} does not exist; run the demo in a complete checkout`);
  }
  if (!existsSync(resolve(root, config))) {
    throw new Error(`${resolve(root, config)} does not exist; name a configuration with --config`);
  }
  const [, url = '', address = ''] = await processes.start({
    name: 'The signer',
    args: [script, 'serve', '--config', config, '--listen', '127.0.0.1:0'],
    cwd: root,
    ready: /livepeer-hsm-signer is listening on (http\S+) as (0x[0-9a-fA-F]{40})/,
    // another signer of this machine may be at the usual address
    environment: { LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: 'false', ...environment },
  });
  print(`signer        ${url}  pays as ${address}  (${config})`);
  return { url, address };
}

async function startSession(
  { processes, print }: DemoOptions,
  signerUrl: string,
  type: Watched['type'],
  pricePerUnit: bigint,
): Promise<Watched> {
  const [, orchestratorUrl = ''] = await processes.start({
    name: `The sandbox orchestrator for ${type}`,
    args: [
      ...['test/sandbox-orchestrator/main.ts', '--type', type],
      ...['--price-per-unit', `${pricePerUnit}`],
      ...['--ticket-ev-wei', `${ticketEvWei}`, '--face-value-wei', `${faceValueWei}`],
    ],
    cwd: root,
    ready: /"url":"(https:[^"]+)"/,
    // of the same seed, both would name their sessions alike
    environment: {
      LIVEPEER_HSM_SIGNER_TEST_SEED: `${(testSeed + (type === 'live' ? 1 : 0)) % 2 ** 31}`,
    },
  });
  const session = await GatewaySession.start({ signerUrl, orchestratorUrl, paymentType: type });
  const unit = type === 'lv2v' ? 'pixel' : 'second';
  print(
    `orchestrator  ${orchestratorUrl}  ${type}, ${pricePerUnit} wei a ${unit}, session ${session.manifestId}`,
  );
  return { type, orchestratorUrl, session, payments: 0, tickets: 0, refreshes: 0, skipped: 0 };
}

/** Pays both sessions twice a second until each has shown what it should. Returns the time it took. */
async function drive(
  watched: readonly Watched[],
  { paymentsPerSession, print }: DemoOptions,
): Promise<number> {
  const isUnfinished = ({ payments, refreshes }: Watched): boolean =>
    payments < paymentsPerSession || refreshes === 0;
  const wasNothingDue = (): boolean => watched.some(({ skipped }) => skipped > 0);
  print(`\n${formatHeading(columns)}`);
  const startedAt = performance.now();
  let calls = 0;
  for (let round = 1; watched.some(isUnfinished) || !wasNothingDue(); round += 1) {
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs > timeLimitMs) break;
    for (const each of watched) {
      calls += 1;
      const isStale = each.payments === staleAfterPayments - 1;
      if (isStale) await advance(each.orchestratorUrl, { l1Blocks: -blocksBehind });
      const cells = await payOnce(each);
      if (isStale) await advance(each.orchestratorUrl, { l1Blocks: blocksBehind });
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(2);
      print(formatRow(columns, [`${calls}`, `${seconds} s`, ...cells]));
    }
    // on a machine too busy for the cadence something is due each time; right after a payment nothing is
    if (!watched.some(isUnfinished)) continue;
    await sleep(Math.max(0, round * cadenceMs - (performance.now() - startedAt)));
  }
  return performance.now() - startedAt;
}

/** One payment cycle. Returns the cells of its row from the session on. */
async function payOnce(each: Watched): Promise<string[]> {
  const cycle = await each.session.pay();
  each.refreshes += cycle.refreshes;
  const refreshed = '480 > '.repeat(cycle.refreshes);
  const head = [each.session.manifestId, each.type];
  if (cycle.outcome === 'skipped') {
    each.skipped += 1;
    return [...head, `${refreshed}482`, '0', '0'];
  }
  const tickets = cycle.payment.ticketSenderParams.length;
  each.payments += 1;
  each.tickets += tickets;
  const account = findAccount(await fetchStats(each.orchestratorUrl), each.session);
  return [
    ...head,
    `${refreshed}200`,
    `${tickets}`,
    groupDigits(`${expectedValueWei(cycle.payment)}`),
    groupDigits(account?.balanceWei ?? '0'),
    `${account?.winningTickets ?? 0}`,
  ];
}

/** Rounded down to a wei. */
function expectedValueWei({ ticketParams, ticketSenderParams }: Payment): bigint {
  if (ticketParams === undefined) return 0n;
  const perTicket = toInteger(ticketParams.faceValue) * toInteger(ticketParams.winProb);
  return (BigInt(ticketSenderParams.length) * perTicket) / maxWinProb;
}

function findAccount(
  stats: SandboxStats,
  session: GatewaySession,
): SandboxStats['sessions'][number] | undefined {
  return stats.sessions.find(({ manifestId }) => manifestId === session.manifestId);
}

type Account = Watched & { readonly stats: SandboxStats };

/** Compares what was sent with what the orchestrators took. */
function judge(
  accounts: readonly Account[],
  paymentsPerSession: number,
): DemoResult['expectations'] {
  const ofSessions = accounts.flatMap(({ stats, ...each }) => {
    const { type, session, payments, tickets } = each;
    const account = findAccount(stats, session);
    return [
      {
        claim: `${type}: the orchestrator accepted all of ${payments} payments, at least ${paymentsPerSession}`,
        holds: payments >= paymentsPerSession && account?.acceptedPayments === payments,
      },
      {
        claim: `${type}: it credited all of ${tickets} tickets`,
        holds: tickets > 0 && account?.acceptedTickets === tickets,
      },
      {
        claim: `${type}: it rejected nothing${stats.rejections.map(({ reason }) => `: ${reason}`).join('')}`,
        holds: stats.rejections.length === 0,
      },
      {
        claim: `${type}: the session was never dropped${stats.droppedSessions.map(({ reason }) => `: ${reason}`).join('')}`,
        holds: stats.droppedSessions.length === 0,
      },
      {
        claim: `${type}: the signer asked for fresh params (480) and the session went on`,
        holds: each.refreshes > 0 && payments > staleAfterPayments,
      },
    ];
  });
  const total = sum(accounts.map(({ payments }) => payments));
  const wanted = accounts.length * paymentsPerSession;
  const skipped = sum(accounts.map((each) => each.skipped));
  return [
    ...ofSessions,
    { claim: `at least ${wanted} payments were made: ${total}`, holds: total >= wanted },
    {
      claim: `the signer said that nothing was due (482): ${skipped} times`,
      holds: skipped > 0,
    },
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
