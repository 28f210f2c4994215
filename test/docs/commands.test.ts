import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { documentedCommands, missingOf, treatments } from './commands.ts';
import { Clone, commandsToRun } from './run-commands.ts';

describe('each command of README and docs', () => {
  it('is run by a test, or told why it can’t be here; and none that is gone is', () => {
    const documented = documentedCommands.map(({ command }) => command);
    expect(documented.length).toBeGreaterThan(50);
    expect(documented.filter((command) => !Object.hasOwn(treatments, command))).toEqual([]);
    expect(Object.keys(treatments).filter((command) => !documented.includes(command))).toEqual([]);
  });

  it.each(documentedCommands)('names only what there is: $command', ({ command }) => {
    expect(missingOf(command)).toEqual([]);
  });
});

describe('in a copy of the repository', () => {
  const clone = new Clone();
  beforeAll(async () => {
    clone.shareNodeModules();
    await clone.startSigner();
  });
  afterAll(() => clone.remove());

  it.each(commandsToRun('quick'))('$command', async ({ command, treatment }) => {
    const { status, output } = await clone.run(command, treatment);
    expect({ status, output }).toEqual({ status: treatment.ends ?? 0, output });
    if (treatment.prints) expect(output).toMatch(treatment.prints);
  });
});
