// Plants mistakes into the source, one at a time, and tells which of them the quick tests notice.
//   npm run test:mutation [-- [FILES|FOLDERS] [--sample N] [--again] [--tests TESTS] [--language L] [--changed] [--verbose]]
// FILES and FOLDERS are those of src, `pm` or `src/pm/ticket.ts`; without any, all eight folders. --sample: N mutants of each
// folder, drawn with the seed of the run; 0 only counts them. --again: those only that the last run left over. --tests: with
// these files and folders of test alone, such as `auth/jwt,auth/mtls`. --language: those only in `typescript`, `lua` or `sql`.
// --verbose: what killed each. --changed: those only of the first folder that the last commit or the working tree changes, of pm
// where there is none, with a few mutants and the folder's own tests alone, which must kill two in three: a few are too few to
// tell 95 % by.
//
// It works on a copy of the working tree, in which all mutants of the files stand side by side, asleep; a test file runs in a
// process that lasts, with one of them awake. What stands in Lua and SQL is mutated as what stands in TypeScript, and worker
// threads and child processes wake the same mutant. Only the tests that reach a mutant run, those first that killed its
// neighbours. Messages for people are left as they are: no test should hold their wording.
//
// A survivor must be killed by a test, or be in survivors.json with its reason. Fails where one is in neither, where one in the
// list was killed or is no more, and where a folder's score is below 95 %.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRandom } from '../support/random.ts';
import { type Lab, type TestRun, openLab } from './lab.ts';
import { type Mutant, findMutants } from './mutants.ts';
import { type Listed, nameMutants, readListed } from './survivors.ts';
import { type Folder, folders, generatedFiles, slowestTestSeconds, suites } from './suites.ts';

const root = join(import.meta.dirname, '../..');

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    again: { type: 'boolean', default: false },
    changed: { type: 'boolean', default: false },
    tests: { type: 'string' },
    language: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});

const cachePath = join(root, 'node_modules/.cache/mutation');
const lastPath = join(cachePath, 'last.json');
mkdirSync(cachePath, { recursive: true });
const leastScore = options.changed ? 66 : 95;

type Named = Mutant & { readonly name: string; readonly file: string };
type Verdict = {
  readonly state: 'killed' | 'killed by time-out' | 'survived' | 'unreached';
  readonly by: string;
};

const isKilled = ({ state }: Verdict): boolean => state.startsWith('killed');

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function sourceFiles(folder: Folder): string[] {
  return globSync(`src/${folder}/**/*.ts`, { cwd: root })
    .sort()
    .filter((file) => !generatedFiles.includes(file));
}

/** What the last commit and the working tree change; nothing where that can't be known, as in a clone of one commit. */
function changedFiles(): string[] {
  const run = spawnSync('git', ['diff', '--name-only', 'HEAD~1'], { cwd: root, encoding: 'utf8' });
  const changed = (run.stdout || '').split('\n').filter((file) => /^src\/.*\.ts$/.test(file));
  const first = folders.find((folder) => changed.some((file) => file.startsWith(`src/${folder}/`)));
  return first === undefined ? ['pm'] : changed.filter((file) => file.startsWith(`src/${first}/`));
}

/** The source files that are asked for, by folder. */
function filesAskedFor(): Map<Folder, string[]> {
  const paths = options.changed ? changedFiles() : positionals;
  const asked = paths.map((path) =>
    (path.startsWith('src/') ? path : `src/${path}`).replace(/\/$/, ''),
  );
  const found = new Map<Folder, string[]>();
  for (const folder of folders) {
    const files = sourceFiles(folder).filter(
      (file) =>
        asked.length === 0 || asked.some((path) => file === path || file.startsWith(`${path}/`)),
    );
    if (files.length > 0) found.set(folder, files);
  }
  return found;
}

function draw(mutants: readonly Named[], folder: Folder): Named[] {
  const size = Number(options.sample ?? mutants.length);
  const random = createRandom(`mutants of ${folder}`);
  const pool = [...mutants];
  while (pool.length > size) pool.splice(random.int(pool.length), 1);
  return pool;
}

type Suite = {
  readonly explored: Map<string, TestRun>;
  readonly reaching: Map<number, string[]>;
};

type Explored = TestRun & { readonly reached: readonly number[] };

/**
 * Each test file of the suite once: how long it takes, and which mutants it reaches. What is known of a file holds until it, or
 * anything in the source or in what tests share, is another.
 */
async function exploreSuite(
  lab: Lab,
  folder: Folder,
  testFiles: readonly string[],
): Promise<Suite> {
  const path = join(cachePath, `own-time-${folder}.json`);
  const known: Record<string, Explored> = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, Explored>)
    : {};
  const shared = digest(
    globSync(['src/**/*.ts', 'test/**/*.ts'], { cwd: root }).filter(
      (file) => !/node_modules|\.test\.ts$|^test\/mutation\/(?!mutants|embedded)/.test(file),
    ),
  );
  const explored = new Map<string, TestRun>();
  const reaching = new Map<number, string[]>();
  for (const file of testFiles) {
    const key = `${file} ${digest([file])} ${shared}`;
    const ran = known[key] ?? (await explore(lab, file));
    if (ran.outcome !== 'passed') {
      say(`  left out: ${file} ${ran.outcome} ${ran.failure}`);
      continue;
    }
    known[key] = ran;
    writeFileSync(path, JSON.stringify(known));
    explored.set(file, ran);
    if (options.verbose) say(`  ${file} ${ran.ms.toFixed(0)} ms, reaches ${ran.reached.length}`);
    for (const id of ran.reached) reaching.set(id, [...(reaching.get(id) ?? []), file]);
  }
  return { explored, reaching };
}

async function explore(lab: Lab, file: string): Promise<Explored> {
  const ran = await lab.explore(file, slowestTestSeconds * 1000);
  return { ...ran, reached: [...ran.reached] };
}

function digest(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of [...files].sort())
    hash.update(`${file} `).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/**
 * A test file that is still at the same test or hook after so long, and four times its longest without a mutant, is taken to
 * hang: with its mutant it is killed, and run once more with twice the patience. What it waits for a processor is not counted.
 */
const leastPatienceMs = 2_000;

/** Kills by one test file that are believed without seeing it pass in between. */
const killsBelieved = 25;

/** Whether a run, or a test in it, took too long. */
const isLate = ({ outcome, failure }: TestRun): boolean =>
  outcome === 'timed out' || / timed out in \d+ms/.test(failure);

/** Which of the mutants the suite notices. */
async function judge(
  lab: Lab,
  { explored, reaching }: Suite,
  mutants: ReadonlyMap<number, Named>,
  report: (id: number, verdict: Verdict) => void,
): Promise<void> {
  const pending = [...mutants.keys()];
  const kills = new Map<string, number>();
  const tries = new Map<string, number>();
  const doubtful = new Map<string, number[]>();
  const patienceMs = (file: string): number =>
    leastPatienceMs + 4 * (explored.get(file)?.longestPauseMs ?? 0);
  const worth = (source: string, file: string): number => {
    const key = `${source} ${file}`;
    return (
      ((kills.get(key) ?? 0) + 0.5) / ((tries.get(key) ?? 0) + 1) / (explored.get(file)?.ms ?? 1)
    );
  };
  const verdicts = new Map<number, Verdict>();

  /** A test file that fails without a mutant too has killed none of those that it failed with since it last passed. */
  async function settle(file: string): Promise<void> {
    const ids = doubtful.get(file) ?? [];
    doubtful.delete(file);
    if (ids.length === 0) return;
    if ((await lab.run(file, undefined, 2 * patienceMs(file))).outcome === 'passed') return;
    say(`  in doubt: ${file} failed without a mutant; once more for ${ids.length}`);
    lab.renew();
    for (const id of ids) verdicts.delete(id);
    pending.push(...ids);
    if ((await lab.run(file, undefined, 2 * patienceMs(file))).outcome !== 'passed') {
      say(`  left out: ${file} fails without a mutant`);
      explored.delete(file);
    }
  }

  async function judgeOne(id: number, source: string): Promise<Verdict> {
    const files = (reaching.get(id) ?? []).filter((file) => explored.has(file));
    if (files.length === 0) return { state: 'unreached', by: '' };
    files.sort((a, b) => worth(source, b) - worth(source, a));
    for (const file of files) {
      let ran: TestRun = await lab.run(file, id, patienceMs(file));
      // a busy machine is late too: what was late once has killed nothing
      if (isLate(ran)) ran = await lab.run(file, id, 2 * patienceMs(file));
      const key = `${source} ${file}`;
      tries.set(key, (tries.get(key) ?? 0) + 1);
      if (ran.outcome === 'passed') {
        doubtful.delete(file);
        continue;
      }
      kills.set(key, (kills.get(key) ?? 0) + 1);
      doubtful.set(file, [...(doubtful.get(file) ?? []), id]);
      const state = isLate(ran) ? 'killed by time-out' : 'killed';
      return { state, by: `${file} (${ran.outcome}) ${ran.failure}` };
    }
    return { state: 'survived', by: '' };
  }

  while (pending.length > 0) {
    for (let id = pending.shift(); id !== undefined; id = pending.shift()) {
      const verdict = await judgeOne(id, mutants.get(id)?.file ?? '');
      if (isKilled(verdict)) verdicts.set(id, verdict);
      else report(id, verdict);
      for (const [file, ids] of doubtful) if (ids.length >= killsBelieved) await settle(file);
    }
    for (const file of [...doubtful.keys()]) await settle(file);
  }
  for (const [id, verdict] of [...verdicts].sort(([a], [b]) => a - b)) report(id, verdict);
}

type Row = {
  folder: string;
  mutants: number;
  killed: number;
  /** of the killed, those that stopped a test from ending */
  timedOut: number;
  equivalent: number;
  accepted: number;
  unlisted: number;
  seconds: number;
};

const listed = readListed();
/** By folder, what the last run left over. */
function readLast(): Record<string, string[]> {
  if (!existsSync(lastPath)) return {};
  return JSON.parse(readFileSync(lastPath, 'utf8')) as Record<string, string[]>;
}
const rows: Row[] = [];
const complaints: string[] = [];

let openedLab: Lab | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void openedLab?.close().finally(() => process.exit(130)));
}

for (const [folder, files] of filesAskedFor()) {
  const start = performance.now();
  const wholeFolder = sourceFiles(folder).flatMap((file) => {
    const source = readFileSync(join(root, file), 'utf8');
    return nameMutants(findMutants(file, source)).map((mutant) => ({ ...mutant, file }));
  });
  const all = wholeFolder
    .filter(({ file }) => files.includes(file))
    .filter(({ language }) => language === (options.language ?? language));
  if (all.length === 0) continue;
  const key = (file: string, name: string): string => `${file}: ${name}`;
  const reasons = new Map<string, Listed>(
    listed
      .filter(({ file }) => files.includes(file))
      .map((entry) => [key(entry.file, entry.mutant), entry]),
  );
  const present = new Set(wholeFolder.map(({ file, name }) => key(file, name)));
  for (const name of reasons.keys())
    if (!present.has(name)) complaints.push(`listed, but no such mutant: ${name}`);

  const left = new Set(readLast()[folder] ?? []);
  const chosen = draw(
    options.again ? all.filter(({ file, name }) => left.has(key(file, name))) : all,
    folder,
  );
  const byId = new Map(wholeFolder.map((mutant, id) => [id, mutant]));
  const byFile = new Map(
    sourceFiles(folder).map((file) => [
      file,
      new Map([...byId].filter(([, mutant]) => mutant.file === file)),
    ]),
  );
  say(`${folder}: ${chosen.length} of ${all.length} mutants`);
  if (chosen.length === 0) continue;
  const lab = await openLab(byFile, options.tests?.split(',') ?? suites[folder]);
  openedLab = lab;
  const row = {
    folder,
    mutants: chosen.length,
    killed: 0,
    timedOut: 0,
    equivalent: 0,
    accepted: 0,
    unlisted: 0,
    seconds: 0,
  };
  const survivors: string[] = [];
  try {
    const conclude = (id: number, verdict: Verdict): void => {
      const { state, by } = verdict;
      const mutant = byId.get(id);
      if (mutant === undefined) return;
      const name = key(mutant.file, mutant.name);
      const reason = reasons.get(name);
      if (isKilled(verdict)) {
        row.killed++;
        if (state === 'killed by time-out') row.timedOut++;
        if (reason) complaints.push(`listed, but killed by ${by}: ${name}`);
        if (options.verbose)
          say(`  killed by ${by}\n    ${mutant.file}:${mutant.line} ${mutant.name}`);
        return;
      }
      survivors.push(name);
      if (reason) row[reason.kind]++;
      else {
        row.unlisted++;
        if (!options.changed) {
          complaints.push(`${state}: ${mutant.file}:${mutant.line} ${mutant.name}`);
        }
        say(`  ${state} ${mutant.file}:${mutant.line}\n    - ${mutant.from}\n    + ${mutant.to}`);
      }
    };
    // all at once is less work in all; one test file of the folder after the other ends as soon as nothing is left
    const isNear = (file: string): boolean => file.startsWith(`test/${folder}/`);
    const rounds = options.changed
      ? lab.testFiles.filter(isNear).map((file) => [file])
      : [lab.testFiles];
    let left = new Map([...byId].filter(([, mutant]) => chosen.includes(mutant)));
    for (const [index, testFiles] of rounds.entries()) {
      if (left.size === 0) break;
      const suite = await exploreSuite(lab, folder, testFiles);
      if (!options.changed) say(`  ${suite.explored.size} test files explored`);
      const survived = new Map<number, Named>();
      await judge(lab, suite, left, (id, verdict) => {
        const mutant = byId.get(id);
        const isOver = isKilled(verdict) || index === rounds.length - 1;
        if (isOver) conclude(id, verdict);
        else if (mutant) survived.set(id, mutant);
      });
      left = survived;
    }
  } finally {
    await lab.close();
  }
  row.seconds = Math.round((performance.now() - start) / 1000);
  rows.push(row);
  if (!options.changed) {
    writeFileSync(lastPath, JSON.stringify({ ...readLast(), [folder]: survivors }));
  }
}

console.table(
  rows.map(({ seconds, ...row }) => {
    const score = (100 * row.killed) / Math.max(1, row.mutants - row.equivalent);
    if (score < leastScore)
      complaints.push(`${row.folder}: ${score.toFixed(1)} % is less than ${leastScore} %`);
    return { ...row, score: `${score.toFixed(1)} %`, seconds };
  }),
);
for (const complaint of complaints) say(complaint);
process.exit(complaints.length > 0 ? 1 : 0);
