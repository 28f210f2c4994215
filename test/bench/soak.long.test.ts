import { describe, expect, it } from 'vitest';
import { Folder } from '../cli/cli.ts';
import { growth } from './growth.ts';
import { formatFigure, meetsGoal } from './result.ts';

describe('ten minutes of payments, and 100,000 sessions before them', () => {
  it('leave memory within 20 MiB of what it was after 1,000 sessions', async () => {
    using folder = new Folder();
    const { figures } = await growth({ folder: folder.path, isSoak: true, say: () => undefined });
    expect(figures).toHaveLength(2);
    expect(figures.filter((figure) => !meetsGoal(figure)).map(formatFigure)).toEqual([]);
  });
});
