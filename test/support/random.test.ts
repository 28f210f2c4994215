import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fc } from './fast-check.ts';
import { createRandom, howToRepeat, testSeed } from './random.ts';

const module = fileURLToPath(new URL('random.ts', import.meta.url));

/** What a process of its own draws. */
function drawWith(environment: Record<string, string>) {
  const program =
    `const { createRandom, testSeed } = await import(${JSON.stringify(module)});` +
    `console.log(testSeed, createRandom('a name').hex(32));`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...environment },
  });
}

describe('random numbers', () => {
  it('are the same ones for the same seed in the environment, in any process', () => {
    const ofThisRun = drawWith({ LIVEPEER_HSM_SIGNER_TEST_SEED: `${testSeed}` }).stdout;
    expect(ofThisRun).toBe(`${testSeed} ${createRandom('a name').hex(32)}\n`);
    const other = `${(testSeed + 1) % 2 ** 31}`;
    const ofOther = drawWith({ LIVEPEER_HSM_SIGNER_TEST_SEED: other }).stdout;
    expect(ofOther).toMatch(new RegExp(`^${other} [0-9a-f]{64}\n$`));
    expect(ofOther.split(' ')[1]).not.toBe(ofThisRun.split(' ')[1]);
  });

  it('have the same seed in each run when the environment names none', () => {
    const [one, two] = [drawWith({}), drawWith({})].map(({ stdout }) => stdout);
    expect(one).toMatch(/^1 [0-9a-f]{64}\n$/);
    expect(two).toBe(one);
  });

  it('have a new seed in each long run', () => {
    const draw = fileURLToPath(new URL('draw-seed.ts', import.meta.url));
    const seeds = [0, 1].map(() => {
      const program = `await import(${JSON.stringify(draw)}); const { testSeed } = await import(${JSON.stringify(module)}); console.log(testSeed)`;
      return spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] },
      }).stdout;
    });
    expect(seeds[0]).toMatch(/^\d+\n$/);
    expect(seeds[1]).not.toBe(seeds[0]);
  });

  it.each(['', 'abc', '-1', '1.5', '2147483648'])('refuse %o as a seed', (seed) => {
    const { status, stderr } = drawWith({ LIVEPEER_HSM_SIGNER_TEST_SEED: seed });
    expect(status).toBe(1);
    expect(stderr).toContain(`LIVEPEER_HSM_SIGNER_TEST_SEED is ${seed}; it must be an integer`);
  });

  it('belong to their name, whoever else draws', () => {
    const [one, again, other] = [createRandom('one'), createRandom('one'), createRandom('other')];
    const drawn = [one.hex(8), other.hex(8), one.hex(8)];
    expect([again.hex(8), again.hex(8)]).toEqual([drawn[0], drawn[2]]);
    expect(drawn[1]).not.toBe(drawn[0]);
  });

  it('are what fast-check makes its cases from', () => {
    expect(fc.readConfigureGlobal()).toMatchObject({ seed: testSeed });
    const broken = fc.check(fc.property(fc.nat(), () => false));
    expect(broken.seed).toBe(testSeed);
  });

  it('can be had again by what is printed after a failed run', () => {
    expect(howToRepeat).toContain(`LIVEPEER_HSM_SIGNER_TEST_SEED=${testSeed}`);
  });
});
