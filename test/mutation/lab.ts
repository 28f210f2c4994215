import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { type Reporter, type Vitest, createVitest } from 'vitest/node';
import { instrument } from './instrument.ts';
import type { Mutant } from './mutants.ts';
import { LastingProcess, poolWorker } from './worker.ts';

const root = join(import.meta.dirname, '../..');

export type Outcome = 'passed' | 'failed' | 'ended' | 'timed out';
export type TestRun = {
  readonly outcome: Outcome;
  readonly ms: number;
  /** the longest time in which no test or hook began or ended, without what the process waited for a processor */
  readonly longestPauseMs: number;
  readonly failure: string;
};

/** A process that gets less of a processor than one part in so many is not waited for any longer. */
const mostWaits = 8;

/** How many test files run before the process that they run in is renewed. */
const runsPerProcess = 400;

/** A copy of the working tree with mutants in it, and vitest on it. */
export type Lab = {
  /** Paths from the root of the tree. */
  readonly testFiles: readonly string[];
  /**
   * Runs a test file with one mutant awake, or with none. Once no test or hook has begun or ended for `patienceMs`, its
   * process is killed, with its threads and all that it started.
   */
  readonly run: (
    testFile: string,
    awake: number | undefined,
    patienceMs: number,
  ) => Promise<TestRun>;
  /** Runs a test file with none awake; also returns which mutants it reached, in whatever process. */
  readonly explore: (
    testFile: string,
    patienceMs: number,
  ) => Promise<TestRun & { readonly reached: Set<number> }>;
  /** Has the next test file run in a new process. */
  readonly renew: () => void;
  readonly close: () => Promise<void>;
};

/** `mutants` by source file; `tests` are folders and files of test. */
export async function openLab(
  mutants: ReadonlyMap<string, ReadonlyMap<number, Mutant>>,
  tests: readonly string[],
): Promise<Lab> {
  const copy = copyTree();
  for (const [file, ofFile] of mutants) {
    const path = join(copy, file);
    const toSwitch = relative(dirname(file), 'src/mutation-switch.ts');
    const switchPath = toSwitch.startsWith('.') ? toSwitch : `./${toSwitch}`;
    writeFileSync(path, instrument(readFileSync(path, 'utf8'), ofFile, switchPath));
  }
  cpSync(join(import.meta.dirname, 'switch.ts'), join(copy, 'src/mutation-switch.ts'));
  const active = join(copy, 'src/mutation-active');
  const reachedPath = join(copy, 'mutation-reached');
  writeFileSync(active, 'none');

  const lasting = new LastingProcess();
  const progress = { note: (): void => undefined };
  const vitest = await startVitest(copy, tests, lasting, () => progress.note());
  const specifications = await vitest.globTestSpecifications();
  const byFile = new Map(specifications.map((entry) => [relative(copy, entry.moduleId), entry]));
  let runs = 0;

  async function run(testFile: string, patienceMs: number): Promise<TestRun> {
    const specification = byFile.get(testFile);
    if (specification === undefined) throw new Error(`${testFile} is no test file`);
    if (++runs % runsPerProcess === 0) lasting.renew();
    lasting.events.removeAllListeners();
    const seen = { isLate: false, hasEnded: false };
    const onExit = () => (seen.hasEnded = true);
    lasting.events.on('exit', onExit);
    const start = performance.now();
    // what passes while others have the processors is no time of the tests
    const ownMs = (): number => performance.now() - lasting.waitedMs();
    let quietSince = { ms: start, ownMs: ownMs() };
    let longestPauseMs = 0;
    progress.note = () => {
      const now = { ms: performance.now(), ownMs: ownMs() };
      longestPauseMs = Math.max(longestPauseMs, now.ownMs - quietSince.ownMs);
      quietSince = now;
    };
    const timer = setInterval(() => {
      const isQuiet =
        ownMs() - quietSince.ownMs > patienceMs ||
        performance.now() - quietSince.ms > mostWaits * patienceMs;
      if (!isQuiet) return;
      seen.isLate = true;
      lasting.kill();
    }, 200);
    const { testModules } = await vitest.runTestSpecifications([specification]);
    clearInterval(timer);
    progress.note();
    lasting.events.off('exit', onExit);
    process.exitCode = 0;
    const took = { ms: performance.now() - start, longestPauseMs };
    if (seen.isLate) return { outcome: 'timed out', ...took, failure: '' };
    const module = testModules.find(({ moduleId }) => moduleId === specification.moduleId);
    if (seen.hasEnded || module === undefined) return { outcome: 'ended', ...took, failure: '' };
    const failed = [...module.children.allTests('failed')];
    const errors = [...module.errors(), ...failed.flatMap((test) => test.result().errors ?? [])];
    for (const suite of module.children.allSuites()) errors.push(...suite.errors());
    const failure = [failed[0]?.fullName, errors[0]?.message.split('\n')[0]]
      .filter(Boolean)
      .join(': ');
    return { outcome: module.ok() ? 'passed' : 'failed', ...took, failure };
  }

  return {
    testFiles: [...byFile.keys()].sort(),
    run: (testFile, awake, patienceMs) => {
      writeFileSync(active, awake === undefined ? 'none' : `wake ${awake}`);
      return run(testFile, patienceMs);
    },
    async explore(testFile, patienceMs) {
      writeFileSync(reachedPath, '');
      writeFileSync(active, `note ${reachedPath}`);
      const ran = await run(testFile, patienceMs);
      const ids = readFileSync(reachedPath, 'utf8').split('\n').filter(Boolean);
      return { ...ran, reached: new Set(ids.map(Number)) };
    },
    renew: () => lasting.renew(),
    async close() {
      lasting.renew();
      await vitest.close();
      rmSync(copy, { recursive: true, force: true });
    },
  };
}

async function startVitest(
  copy: string,
  tests: readonly string[],
  lasting: LastingProcess,
  onProgress: () => void,
): Promise<Vitest> {
  const include = tests.flatMap((path) => [`test/${path}.test.ts`, `test/${path}/**/*.test.ts`]);
  const reporter: Reporter = {
    onTestModuleCollected: onProgress,
    onTestCaseReady: onProgress,
    onTestCaseResult: onProgress,
    onHookStart: onProgress,
    onHookEnd: onProgress,
  };
  return createVitest(
    {
      root: copy,
      config: false,
      watch: false,
      include,
      exclude: ['**/*.long.test.ts', '**/node_modules/**'],
      setupFiles: [join(copy, 'test/mutation/stop-at-first-failure.ts')],
      // as where no mutant is: what hangs is ended sooner
      testTimeout: 120_000,
      hookTimeout: 240_000,
      expect: { poll: { timeout: 60_000 } },
      pool: { name: 'lasting', createPoolWorker: (options) => poolWorker(lasting, options) },
      maxWorkers: 1,
      reporters: [reporter],
    },
    { logLevel: 'silent' },
  );
}

/** What git knows or would know of the tree, with links to what is installed in it. */
function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'mutation-'));
  const list = (...args: string[]): string[] =>
    execFileSync('git', ['ls-files', '-z', ...args], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    })
      .split('\0')
      .filter(Boolean);
  for (const path of list('-co', '--exclude-standard')) {
    cpSync(join(root, path), join(copy, path), { verbatimSymlinks: true });
  }
  for (const path of list('-oi', '--exclude-standard', '--directory')) {
    const link = join(copy, path.replace(/\/$/, ''));
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, path), link);
  }
  return copy;
}
