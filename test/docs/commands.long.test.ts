import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Clone, commandsToRun } from './run-commands.ts';

// The first command installs the packages: until then there are none in the copy.
describe('in a copy of the repository that nothing was installed in', () => {
  const clone = new Clone();
  beforeAll(() => clone.startSigner());
  afterAll(() => clone.remove());

  it.each(commandsToRun('long'))('$command', async ({ command, treatment }) => {
    const { status, output } = await clone.run(command, treatment);
    expect({ status, output }).toEqual({ status: treatment.ends ?? 0, output });
    if (treatment.prints) expect(output).toMatch(treatment.prints);
  });
});
