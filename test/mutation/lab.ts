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
import { type Vitest, createVitest } from 'vitest/node';
import { instrument } from './instrument.ts';
import type { Mutant } from './mutants.ts';
import { LastingProcess, poolWorker } from './worker.ts';

const root = join(import.meta.dirname, '../..');

export type Outcome = 'passed' | 'failed' | 'ended' | 'timed out';
export type TestRun = { readonly outcome: Outcome; readonly ms: number; readonly failure: string };

/** How many test files run before the process that they run in is renewed. */
const runsPerProcess = 400;

/** A copy of the working tree with mutants in it, and vitest on it. */
export type Lab = {
  /** Paths from the root of the tree. */
  readonly testFiles: readonly string[];
  /** Runs a test file with one mutant awake, or with none. */
  readonly run: (
    testFile: string,
    awake: number | undefined,
    timeoutMs: number,
  ) => Promise<TestRun>;
  /** Runs a test file with none awake; also returns which mutants it reached, in whatever process. */
  readonly explore: (
    testFile: string,
    timeoutMs: number,
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
  const vitest = await startVitest(copy, tests, lasting);
  const specifications = await vitest.globTestSpecifications();
  const byFile = new Map(specifications.map((entry) => [relative(copy, entry.moduleId), entry]));
  let runs = 0;

  async function run(testFile: string, timeoutMs: number): Promise<TestRun> {
    const specification = byFile.get(testFile);
    if (specification === undefined) throw new Error(`${testFile} is no test file`);
    if (++runs % runsPerProcess === 0) lasting.renew();
    lasting.events.removeAllListeners();
    const seen = { isLate: false, hasEnded: false };
    const onExit = () => (seen.hasEnded = true);
    lasting.events.on('exit', onExit);
    const timer = setTimeout(() => {
      seen.isLate = true;
      lasting.kill();
    }, timeoutMs);
    const start = performance.now();
    const { testModules } = await vitest.runTestSpecifications([specification]);
    clearTimeout(timer);
    lasting.events.off('exit', onExit);
    process.exitCode = 0;
    const ms = performance.now() - start;
    if (seen.isLate) return { outcome: 'timed out', ms, failure: '' };
    const module = testModules.find(({ moduleId }) => moduleId === specification.moduleId);
    if (seen.hasEnded || module === undefined) return { outcome: 'ended', ms, failure: '' };
    const failed = [...module.children.allTests('failed')];
    const errors = [...module.errors(), ...failed.flatMap((test) => test.result().errors ?? [])];
    for (const suite of module.children.allSuites()) errors.push(...suite.errors());
    const failure = [failed[0]?.fullName, errors[0]?.message.split('\n')[0]]
      .filter(Boolean)
      .join(': ');
    return { outcome: module.ok() ? 'passed' : 'failed', ms, failure };
  }

  return {
    testFiles: [...byFile.keys()].sort(),
    run: (testFile, awake, timeoutMs) => {
      writeFileSync(active, awake === undefined ? 'none' : `wake ${awake}`);
      return run(testFile, timeoutMs);
    },
    async explore(testFile, timeoutMs) {
      writeFileSync(reachedPath, '');
      writeFileSync(active, `note ${reachedPath}`);
      const ran = await run(testFile, timeoutMs);
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
): Promise<Vitest> {
  const include = tests.flatMap((path) => [`test/${path}.test.ts`, `test/${path}/**/*.test.ts`]);
  return createVitest(
    {
      root: copy,
      config: false,
      watch: false,
      include,
      exclude: ['**/*.long.test.ts', '**/node_modules/**'],
      setupFiles: [join(copy, 'test/mutation/stop-at-first-failure.ts')],
      testTimeout: 30_000,
      hookTimeout: 30_000,
      expect: { poll: { timeout: 15_000 } },
      pool: { name: 'lasting', createPoolWorker: (options) => poolWorker(lasting, options) },
      maxWorkers: 1,
      reporters: [{}],
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
