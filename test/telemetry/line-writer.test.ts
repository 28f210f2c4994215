import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createLineWriter } from '../../src/telemetry/line-writer.ts';
import { Folder } from '../cli/cli.ts';
import { soon } from '../support/soon.ts';

it('loses what there is no room for while nobody reads, counts it, and leaves the rest whole', async () => {
  using folder = new Folder();
  const path = join(folder.path, 'pipe');
  execFileSync('mkfifo', [path]);
  const file = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const told: number[] = [];
  const writer = createLineWriter(file, (lines) => told.push(lines));
  const line = (index: number): string => `${String(index).padStart(9, '0')}${'x'.repeat(990)}\n`;
  const all = 6_000;
  for (let index = 0; index < all; index += 1) writer.write(line(index));
  let read = '';
  const bytes = Buffer.alloc(65_536);
  await soon(() => {
    for (;;) {
      try {
        read += bytes.toString('latin1', 0, readSync(file, bytes));
      } catch {
        break;
      }
    }
    expect(told).toHaveLength(1);
  });
  const lines = read.split('\n').slice(0, -1);
  expect(lines).toEqual(Array.from(lines, (_, index) => line(index).slice(0, -1)));
  expect(lines.length + (told[0] ?? 0)).toBe(all);
  expect(lines.length).toBeGreaterThan(4_000);
  closeSync(file);
  writer.write(line(0));
});
