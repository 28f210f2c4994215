import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Cli, Folder } from '../cli/cli.ts';
import { type Attempt, startLoad } from './load.ts';
import { findFaults } from './payments.ts';
import type { ChaosCase, Scenario } from './scenarios.ts';

const paymentsPerSecond = 50;
/** A slower answer counts as disturbed, as a refused payment does. */
const disturbedAboveMs = 2_000;
/** Without a disturbed answer for so long, the signer has recovered. */
const calmMs = 500;
/** Longer than any recovery may take, on a busy machine too. */
const giveUpMs = 60_000;
/** For the signer to see that its clients have hung up. */
const settleMs = 100;
const probeIntervalMs = 200;

const chain = {
  source: 'static',
  l1Block: 20_999_970,
  round: 3800,
  roundBlockHash: '0x7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f',
  deposit: '0.5 ether',
  reserve: '0.5 ether',
};

/** How long the signer is paid from before the fault, during it, and after it at least. */
export type Schedule = {
  readonly beforeMs: number;
  readonly faultMs: number;
  readonly afterMs: number;
  /** Payments are made until there were so many. */
  readonly attempts: number;
};

export type ChaosReport = {
  readonly fault: string;
  readonly attempts: readonly Attempt[];
  /** How often the peer misbehaved. */
  readonly met: number;
  /** Whether calls went their usual way again in the end. */
  readonly isBack: boolean;
  /** What is wrong with the tickets given out. */
  readonly faults: readonly string[];
  readonly slowestMs: number;
  /** From the end of the fault until the last disturbed answer. */
  readonly recoveryMs: number;
  /** How many connections the signer's clients had at most. */
  readonly clientConnections: number;
  /** What the signer wrote to its log, line by line. */
  readonly log: readonly string[];
  readonly leakedSecrets: readonly string[];
  readonly before: ProcessFigures;
  readonly after: ProcessFigures;
  /** The exit code after SIGTERM. */
  readonly exitCode: number | null;
};

type ProcessFigures = {
  readonly residentMb: number;
  readonly threads: number;
  readonly descriptors: number;
};

/** Runs the real program against a peer, pays 50 times a second all the while, and has the fault come and go. */
export async function runChaos(chaos: ChaosCase, schedule: Schedule): Promise<ChaosReport> {
  const scenario = await chaos.start();
  try {
    return await payThrough(chaos.fault, scenario, schedule);
  } finally {
    await scenario.close();
  }
}

async function payThrough(
  fault: string,
  scenario: Scenario,
  { beforeMs, faultMs, afterMs, attempts: wanted }: Schedule,
): Promise<ChaosReport> {
  using folder = new Folder();
  const { keys } = scenario;
  const settings = { keys: keys.map(({ key }) => key), failover: { probeIntervalMs }, chain };
  const config = folder.write('signer.yaml', JSON.stringify(settings));
  const signer = new Cli(
    ['serve', '--config', config, '--listen', '127.0.0.1:0'],
    Object.assign({}, ...keys.map(({ environment }) => environment)) as Record<string, string>,
  );
  try {
    const url = await signer.listening();
    const address = /as (0x\w{40})/.exec(signer.stdout)?.[1] ?? '';

    const load = startLoad(url, paymentsPerSecond);
    await delay(beforeMs);
    const before = readFigures(signer);
    await scenario.begin();
    await delay(faultMs);
    await scenario.end();
    const faultEndedAtMs = performance.now();
    const starvedBeforeMs = load.starvedMs();
    await delay(afterMs);
    const isBack = (): boolean => scenario.isBack?.() ?? true;
    const isDone = (): boolean =>
      load.attempts.length >= wanted && isCalm(load.attempts) && isBack();
    while (!isDone() && performance.now() - faultEndedAtMs < giveUpMs) await delay(20);
    await load.stop();
    await delay(settleMs);
    const after = readFigures(signer);

    signer.child.kill('SIGTERM');
    const { status, stderr } = await signer.ended();
    const { attempts } = load;
    return {
      fault,
      attempts,
      met: scenario.met(),
      isBack: isBack(),
      faults: findFaults(
        address,
        attempts.flatMap(({ paid }) => paid ?? []),
      ),
      slowestMs: Math.max(...attempts.map(durationMs)),
      recoveryMs: Math.max(
        0,
        recoveryMs(attempts, faultEndedAtMs) - 2 * (load.starvedMs() - starvedBeforeMs),
      ),
      clientConnections: load.mostAtOnce(),
      log: stderr.trimEnd().split('\n'),
      leakedSecrets: keys
        .flatMap(({ secrets }) => secrets)
        .filter((secret) => stderr.includes(secret)),
      before,
      after,
      exitCode: status,
    };
  } finally {
    signer.child.kill('SIGKILL');
  }
}

/** Without what the machine took away from the client, and as much from the signer. */
function durationMs({ sentAtMs, answeredAtMs, starvedMs }: Attempt): number {
  return Math.max(0, answeredAtMs - sentAtMs - 2 * starvedMs);
}

function isDisturbed(attempt: Attempt): boolean {
  return attempt.status !== 200 || durationMs(attempt) > disturbedAboveMs;
}

function isCalm(attempts: readonly Attempt[]): boolean {
  const sinceMs = performance.now() - calmMs;
  const recent = attempts.filter(({ answeredAtMs }) => answeredAtMs > sinceMs);
  return recent.length > 0 && !recent.some(isDisturbed);
}

function recoveryMs(attempts: readonly Attempt[], faultEndedAtMs: number): number {
  const lastMs = Math.max(0, ...attempts.filter(isDisturbed).map((each) => each.answeredAtMs));
  return Math.max(0, lastMs - faultEndedAtMs);
}

/** As Linux counts them. */
function readFigures({ child }: Cli): ProcessFigures {
  const folder = `/proc/${child.pid}`;
  const status = readFileSync(`${folder}/status`, 'utf8');
  const figure = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return {
    residentMb: Math.round(figure('VmRSS') / 1024),
    threads: figure('Threads'),
    descriptors: readdirSync(`${folder}/fd`).length,
  };
}
