import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type Rational, compare, formatDecimal, parseRational, zero } from '../pm/rational.ts';
import {
  type Capacity,
  type KeyService,
  countNeeded,
  formatUsd,
  groupThousands,
  planCapacity,
} from './capacity.ts';

/** List prices and default quotas; docs/capacity.md names the sources and the day they were read. */
const services = {
  'aws-kms': {
    callsPerSecond: 1_000n,
    quotaUnit: 'Regions or accounts',
    callMicroUsd: 15n,
    keyMicroUsdPerMonth: 1_000_000n,
  },
  'gcp-kms': {
    callsPerSecond: 50n,
    quotaUnit: 'regions or projects',
    callMicroUsd: 15n,
    keyMicroUsdPerMonth: 2_500_000n,
  },
  pkcs11: {
    callsPerSecond: undefined,
    quotaUnit: 'HSMs',
    callMicroUsd: 0n,
    keyMicroUsdPerMonth: 0n,
  },
} as const satisfies Record<string, KeyService>;

/** Key calls of a payment in go-livepeer's design that sign no ticket: segment credentials and session state. */
const callsBesideTicketsUpstream = 2n;

export const plannedProviders = Object.keys(services) as PlannedProvider[];
export type PlannedProvider = keyof typeof services;

export type PlanOptions = {
  readonly sessions: bigint;
  /** milliseconds */
  readonly interval: bigint;
  readonly tickets: Rational;
  readonly provider: PlannedProvider;
  /** key calls a second, in place of the provider's default */
  readonly quota?: bigint;
  /** payments per second that one worker makes; measured when left out */
  readonly rate?: Rational;
};

/** `plan`: the key service and machines that a number of sessions needs, compared with go-livepeer's design. */
export async function plan(options: PlanOptions): Promise<void> {
  const { sessions, interval, tickets, provider, quota } = options;
  const service: KeyService = { ...services[provider], ...(quota && { callsPerSecond: quota }) };
  const rate = options.rate ?? (await measureRate(provider));
  const demand = { sessions, intervalMs: interval, tickets };
  const ours = planCapacity(demand, service, 0n);
  const upstream = planCapacity(demand, service, callsBesideTicketsUpstream);
  const rows = [
    ['', 'this signer (N)', "go-livepeer's design (N + 2)"],
    ...describeKeys(ours, upstream, service),
    ['instances needed, of one worker each', ...describeWorkers(ours, rate)],
  ];
  const widths = [0, 1, 2].map((column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  for (const row of rows) {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
  process.stdout.write(`\n${describeRate(rate, options.rate !== undefined)}\n`);
  process.stdout.write(
    'Running sessions at list prices and a whole quota; a new session costs one key call more. docs/capacity.md has the sources.\n',
  );
}

function describeKeys(ours: Capacity, upstream: Capacity, service: KeyService): string[][] {
  const both = (name: string, read: (capacity: Capacity) => string): string[] => [
    name,
    read(ours),
    read(upstream),
  ];
  const { callsPerSecond, quotaUnit } = service;
  return [
    both('payments a second', (each) => formatQuantity(each.paymentsPerSecond)),
    both('key calls a payment', (each) => formatQuantity(each.keyCallsPerPayment)),
    both('key calls a second', (each) => formatQuantity(each.keyCallsPerSecond)),
    both('key calls a month', (each) => formatQuantity(each.keyCallsPerMonth)),
    ...(callsPerSecond === undefined
      ? []
      : [
          both(
            `${quotaUnit} needed, ${groupThousands(callsPerSecond)} calls a second each`,
            (each) => groupThousands(each.quotaUnits ?? 0n),
          ),
        ]),
    ...(service.callMicroUsd === 0n
      ? []
      : [
          both('key calls, USD a month', (each) => formatUsd(each.callsMicroUsd)),
          both('keys, USD a month', (each) => formatUsd(each.keysMicroUsd)),
          both('together, USD a month', (each) =>
            formatUsd(each.callsMicroUsd + each.keysMicroUsd),
          ),
        ]),
  ];
}

function describeWorkers({ paymentsPerSecond }: Capacity, rate: Rational | undefined): string[] {
  if (!rate) return ['unknown', ''];
  return [groupThousands(countNeeded(paymentsPerSecond, rate)), 'not measured'];
}

function describeRate(rate: Rational | undefined, isGiven: boolean): string {
  if (!rate) {
    return 'How many payments one worker makes is measured in a source checkout only: give it with --rate.';
  }
  const source = isGiven ? 'as given' : 'measured now, on one core of this machine';
  return `One worker makes ${formatQuantity(rate)} payments a second, ${source}.`;
}

/** At most one decimal, digits in groups of three. */
function formatQuantity(value: Rational): string {
  const [whole = '0', tenths = '0'] = formatDecimal(value, 1).split('.');
  const grouped = groupThousands(BigInt(whole));
  return tenths === '0' ? grouped : `${grouped}.${tenths}`;
}

/** Lets the benchmark put load on a signer over the provider; undefined outside a source checkout. */
async function measureRate(provider: PlannedProvider): Promise<Rational | undefined> {
  const program = fileURLToPath(new URL('../../test/bench/measure-rate.ts', import.meta.url));
  if (!existsSync(program)) return undefined;
  const child = spawn(process.execPath, [program, provider], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = text(child.stdout);
  await once(child, 'exit');
  const rate = child.exitCode === 0 ? parseRational((await output).trim()) : undefined;
  return rate && compare(rate, zero) > 0 ? rate : undefined;
}
