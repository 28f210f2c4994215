import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli/cli.ts';

export type Instruction = { readonly name: string; readonly text: string };

/** The instructions of a Dockerfile of this project, continued lines joined, comments left out. */
export function readInstructions(path: string): Instruction[] {
  const text = readFileSync(join(root, path), 'utf8')
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n\s*/g, '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      return { name, text: rest };
    });
}

/** The instructions of each stage, from its FROM on. */
export function readStages(path: string): Instruction[][] {
  const stages: Instruction[][] = [];
  for (const instruction of readInstructions(path)) {
    if (instruction.name === 'FROM') stages.push([]);
    stages.at(-1)?.push(instruction);
  }
  return stages;
}

/** The last value of an instruction in a stage; throws when there is none. */
export function valueOf(stage: readonly Instruction[], name: string): string {
  const found = stage.findLast((instruction) => instruction.name === name);
  if (!found) throw new Error(`no ${name}`);
  return found.text;
}

/** The sources of a COPY from the build context; none of one from another stage. */
export function copiedFiles({ text }: Instruction): string[] {
  return text.startsWith('--from=') ? [] : text.split(/\s+/).slice(0, -1);
}
