import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Random } from '../../support/random.ts';
import { blocksOf, clearCounts, dictionaryOf, featuresSeen, workDone } from './coverage.ts';
import { mutate } from './mutate.ts';
import { Find, type Target } from './target.ts';

export type FuzzOptions = {
  readonly random: Random;
  /** mutated inputs, or seconds, after which the search ends: whichever comes first */
  readonly inputs: number;
  readonly seconds: number;
};

export type FuzzReport = {
  readonly target: string;
  /** corpus and seeds included */
  readonly inputs: number;
  readonly seconds: number;
  /** of the target's files: entered by an input, and how many there are */
  readonly blocks: number;
  readonly blocksOf: number;
  /** pairs of a block and about how often it was entered, of all instrumented files */
  readonly features: number;
  /** the most blocks that were entered for each byte of an input of at least 64 bytes */
  readonly workPerByte: number;
  /** MiB, at the end */
  readonly heapMib: number;
  readonly finds: readonly { readonly what: string; readonly input: string }[];
};

type Kept = {
  readonly input: Uint8Array;
  readonly features: readonly number[];
  fresh: number;
  chosen: number;
};

/** Work that does not depend on the input's length: of small inputs, and the first time. */
const freeWork = 20_000;
/** Milliseconds of processor time: no input may take more, three times in a row. */
const maxCpuMs = 1_000;
const maxFinds = 20;

/** Replays the target's corpus and seeds, then looks for more from those that showed something new. */
export async function fuzz(
  target: Target,
  { random, inputs: maxInputs, seconds }: FuzzOptions,
): Promise<{ readonly report: FuzzReport; readonly corpus: readonly Uint8Array[] }> {
  const own = blocksOf(target.files);
  const wanted = maxInputs * (target.share ?? 1);
  const words = [...dictionaryOf(target.files), ...(target.words ?? [])];
  const maxLength = target.maxLength ?? 4096;
  const seen = new Set<number>();
  const kept: Kept[] = [];
  const finds = new Map<string, string>();
  let inputs = 0;
  let workPerByte = 0;

  async function check(input: Uint8Array): Promise<void> {
    inputs += 1;
    clearCounts();
    const before = performance.now();
    try {
      const checking = target.check(input);
      if (checking) await checking;
    } catch (error) {
      note(describe(error), input);
    }
    const work = workDone();
    const features = featuresSeen();
    if (input.length >= 64) workPerByte = Math.max(workPerByte, work / input.length);
    if (work > freeWork + (target.maxWorkPerByte ?? 500) * input.length) {
      note('more work than its length explains', input);
    }
    if (performance.now() - before > maxCpuMs && (await isSlow(target, input))) {
      note(`over ${maxCpuMs} ms of processor time`, input);
    }
    const fresh = features.filter((feature) => !seen.has(feature));
    if (fresh.length === 0) return;
    for (const feature of fresh) seen.add(feature);
    kept.push({ input, features, fresh: fresh.length, chosen: 0 });
  }

  function note(what: string, input: Uint8Array): void {
    const shorter = finds.get(what);
    const text = Buffer.from(input).toString('base64');
    if (finds.size < maxFinds || shorter !== undefined) {
      if (shorter === undefined || shorter.length > text.length) finds.set(what, text);
    }
  }

  const start = performance.now();
  const bytesOf = (seed: Uint8Array | string) =>
    typeof seed === 'string' ? new TextEncoder().encode(seed) : Uint8Array.from(seed);
  for (const input of [
    ...readCorpus(target.name),
    ...target.seeds.map(bytesOf),
    new Uint8Array(),
  ]) {
    await check(input);
  }
  const end = start + seconds * 1000;
  for (let done = 0; done < wanted && performance.now() < end; done++) {
    const parent = choose(random, kept);
    parent.chosen += 1;
    const other = () => choose(random, kept).input;
    await check(mutate(random, parent.input, { format: target.format, words, other, maxLength }));
    // the libraries' timers and sockets have their turn
    if (done % 256 === 255) await new Promise(setImmediate);
  }
  const report = {
    target: target.name,
    inputs,
    seconds: Math.round(performance.now() - start) / 1000,
    blocks: new Set([...seen].filter(own.has).map((feature) => feature >> 3)).size,
    blocksOf: own.count,
    features: seen.size,
    workPerByte: Math.round(workPerByte),
    heapMib: Math.round(process.memoryUsage().heapUsed / 2 ** 20),
    finds: Array.from(finds, ([what, input]) => ({ what, input })),
  };
  return { report, corpus: minimise(kept) };
}

/** What showed much and was chosen little; short inputs before long ones. */
function choose(random: Random, kept: readonly Kept[]): Kept {
  const energy = ({ fresh, chosen, input }: Kept) =>
    (1 + fresh) / (1 + chosen) / Math.log2(16 + input.length);
  let best: Kept | undefined;
  for (let tries = 0; tries < 3; tries++) {
    // the later half has the harder inputs
    const from = random.chance(0.3) ? kept.length >> 1 : 0;
    const candidate = kept[from + random.int(kept.length - from)];
    if (candidate && (!best || energy(candidate) > energy(best))) best = candidate;
  }
  return best ?? { input: new Uint8Array(), features: [], fresh: 0, chosen: 0 };
}

function describe(error: unknown): string {
  if (error instanceof Find) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message.slice(0, 200)}` : String(error);
}

async function isSlow(target: Target, input: Uint8Array): Promise<boolean> {
  for (let times = 0; times < 2; times++) {
    clearCounts();
    const before = process.cpuUsage();
    try {
      await target.check(input);
    } catch {
      // noted already
    }
    const { user, system } = process.cpuUsage(before);
    if (user + system < 1000 * maxCpuMs) return false;
  }
  return true;
}

const maxCorpusBytes = 4_096;
const maxCorpusInput = 600;

/** The shortest inputs that together show what all short ones do, as far as there is room. */
function minimise(kept: readonly Kept[]): Uint8Array[] {
  const covered = new Set<number>();
  const corpus: Uint8Array[] = [];
  let bytes = 0;
  for (const { input, features } of kept.toSorted((a, b) => a.input.length - b.input.length)) {
    if (input.length > maxCorpusInput || bytes + input.length > maxCorpusBytes) continue;
    // how often a block was entered counts while searching only
    const blocks = features.map((feature) => feature >> 3);
    if (blocks.every((block) => covered.has(block))) continue;
    for (const block of blocks) covered.add(block);
    corpus.push(input);
    bytes += input.length;
  }
  return corpus;
}

const corpusFile = (target: string): URL => new URL(`../corpus/${target}.txt`, import.meta.url);

/** An input a line, as a JSON string whose characters are its bytes. */
function readCorpus(target: string): Uint8Array[] {
  const file = corpusFile(target);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Uint8Array.from(Buffer.from(JSON.parse(line) as string, 'latin1')));
}

export function writeCorpus(target: string, corpus: readonly Uint8Array[]): void {
  const lines = corpus.map((input) =>
    JSON.stringify(Buffer.from(input).toString('latin1')).replace(
      /[\u007f-\uffff]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  );
  writeFileSync(corpusFile(target), `${lines.join('\n')}\n`);
}
