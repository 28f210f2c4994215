import type { Mutant } from './mutants.ts';

/**
 * `source` with all of these mutants in it, each asleep until the switch, imported from `switchPath`, names the id that it
 * has as a key. Types stay as they are written, so Node reads the result as it reads the source.
 */
export function instrument(
  source: string,
  mutants: ReadonlyMap<number, Mutant>,
  switchPath: string,
): string {
  const groups = new Map<string, [number, Mutant][]>();
  for (const entry of mutants) {
    const { carrier } = entry[1];
    const key = `${carrier.start} ${carrier.end}`;
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  const insertions: { at: number; span: number; isOpening: boolean; text: string }[] = [];
  for (const group of groups.values()) {
    const { carrier } = group[0]?.[1] ?? { carrier: undefined };
    if (carrier === undefined) continue;
    const span = carrier.end - carrier.start;
    const wrap = (before: string, after: string): void => {
      insertions.push({ at: carrier.start, span, isOpening: true, text: before });
      insertions.push({ at: carrier.end, span, isOpening: false, text: after });
    };
    if (carrier.kind === 'statement') {
      const awake = group.map(
        ([id, mutant]) => `if (__mutant(${id})) {${mutated(source, mutant)}} else `,
      );
      wrap(`{${awake.join('')}{`, '}}');
    } else {
      const awake = group.map(
        ([id, mutant]) => `__mutant(${id}) ? (${mutated(source, mutant)}) : `,
      );
      wrap(`(${awake.join('')}(`, '))');
    }
  }
  insertions.sort((a, b) => a.at - b.at || order(a) - order(b));
  let written = '';
  let from = 0;
  for (const { at, text } of insertions) {
    written += source.slice(from, at) + text;
    from = at;
  }
  written += source.slice(from);
  const start = written.startsWith('#!') ? written.indexOf('\n') + 1 : 0;
  const imports = `import { __mutant as __switch } from '${switchPath}'; const __mutant = __switch; `;
  return written.slice(0, start) + imports + written.slice(start);
}

/** At one place what ends comes before what begins; the inner ends first and begins last. */
function order({
  isOpening,
  span,
}: {
  readonly isOpening: boolean;
  readonly span: number;
}): number {
  return isOpening ? 1e9 - span : span - 1e9;
}

function mutated(source: string, { carrier, start, end, text }: Mutant): string {
  return source.slice(carrier.start, start) + text + source.slice(end, carrier.end);
}
