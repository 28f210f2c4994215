import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hitName, instrument, wordsOf } from './instrument.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The product, and the libraries that its decoders stand on: what these do with an input guides the search too. */
const instrumented =
  /^(?:src\/(?!cli|compose|admin|telemetry|events)|plugins\/|node_modules\/(?:asn1js|yaml|jose|@bufbuild\/protobuf)\/).*\.[jt]s$/;

const maxBlocks = 1 << 16;
const counts = new Uint32Array(maxBlocks);
const entered = new Int32Array(maxBlocks);
/** by block */
const fileOf: string[] = [];
const wordsOfFile = new Map<string, readonly string[]>();
let enteredCount = 0;
let work = 0;

/** Blocks entered by one input, above which it counts as one that never ends. */
const maxWork = 50_000_000;

function enter(block: number): void {
  work += 1;
  if (counts[block] === 0) entered[enteredCount++] = block;
  counts[block] = (counts[block] ?? 0) + 1;
  if (work > maxWork) throw new Error('the work has no end');
}

/** From here on, modules that are imported for the first time count the blocks they enter. */
export function startCounting(): void {
  (globalThis as Record<string, unknown>)[hitName] = enter;
  registerHooks({
    load(url, context, nextLoad) {
      const file = url.startsWith('file:') ? relative(root, fileURLToPath(url)) : '';
      if (!instrumented.test(file)) return nextLoad(url, context);
      const source = readFileSync(fileURLToPath(url), 'utf8');
      wordsOfFile.set(file, wordsOf(file, source));
      const counting = instrument(file, source, () => fileOf.push(file) - 1);
      if (fileOf.length > maxBlocks) throw new Error(`there are over ${maxBlocks} blocks`);
      if (file.endsWith('.ts')) {
        return { format: 'module', source: stripTypeScriptTypes(counting), shortCircuit: true };
      }
      return { ...nextLoad(url, context), source: counting, shortCircuit: true };
    },
  });
}

/** Forgets the last input. */
export function clearCounts(): void {
  for (let index = 0; index < enteredCount; index++) counts[entered[index] ?? 0] = 0;
  enteredCount = 0;
  work = 0;
}

/** How many blocks were entered since {@link clearCounts}, each time counted: a measure of time that is the same on every machine. */
export const workDone = (): number => work;

/**
 * What the last input showed: each block that it entered, together with about how often (1, 2, 3, 4 to 7, 8 to 15, 16 to 31, to
 * 127, more).
 */
export function featuresSeen(): number[] {
  return Array.from(entered.subarray(0, enteredCount), (block) => {
    const times = counts[block] ?? 0;
    const bucket = times < 4 ? times - 1 : times < 8 ? 3 : times < 16 ? 4 : times < 32 ? 5 : 6;
    return block * 8 + (times > 127 ? 7 : bucket);
  });
}

/** How many blocks these files have, and which of them a feature belongs to. */
export function blocksOf(files: readonly string[]): {
  readonly count: number;
  readonly has: (feature: number) => boolean;
} {
  const missing = files.find((file) => !wordsOfFile.has(file));
  if (missing !== undefined) throw new Error(`${missing} was never imported`);
  const wanted = new Set(files);
  return {
    count: fileOf.filter((file) => wanted.has(file)).length,
    has: (feature) => wanted.has(fileOf[feature >> 3] ?? ''),
  };
}

/** The words of these files. */
export function dictionaryOf(files: readonly string[]): string[] {
  return [...new Set(files.flatMap((file) => wordsOfFile.get(file) ?? []))];
}
