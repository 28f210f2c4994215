import { describe, expect, it } from 'vitest';
import { parseCount, parseInterval, parsePositive, parseTickets } from '../../src/cli/arguments.ts';
import { rational } from '../../src/pm/rational.ts';
import { run } from './cli.ts';

const load = ['plan', '--sessions', '100000', '--interval', '10s', '--tickets', '1.5'];

describe('plan', () => {
  it('prints key calls, price, quota and instances, beside the same for N + 2', async () => {
    const { status, stdout, stderr } = await run([
      ...load,
      '--provider',
      'aws-kms',
      '--rate',
      '2500',
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatchInlineSnapshot(`
      "                                                       this signer (N)  go-livepeer's design (N + 2)
      payments a second                                               10,000                        10,000
      key calls a payment                                                1.5                           3.5
      key calls a second                                              15,000                        35,000
      key calls a month                                       39,420,000,000                91,980,000,000
      Regions or accounts needed, 1,000 calls a second each               15                            35
      key calls, USD a month                                     $591,300.00                 $1,379,700.00
      keys, USD a month                                               $15.00                        $35.00
      together, USD a month                                      $591,315.00                 $1,379,735.00
      instances needed, of one worker each                                 4                  not measured

      One worker makes 2,500 payments a second, as given.
      Running sessions at list prices and a whole quota; a new session costs one key call more. docs/capacity.md has the sources.
      "
    `);
  });

  it('takes a quota of your own', async () => {
    const { stdout } = await run([
      ...load,
      ...['--provider', 'gcp-kms', '--rate', '2500', '--quota', '4000'],
    ]);
    expect(stdout).toMatch(/regions or projects needed, 4,000 calls a second each +4 +9\n/);
    expect(stdout).toMatch(/keys, USD a month +\$10\.00 +\$22\.50\n/);
  });

  it('names no price and no quota for an HSM of your own', async () => {
    const { stdout } = await run([...load, '--provider', 'pkcs11', '--rate', '2500.5']);
    expect(stdout).not.toMatch(/USD|needed, .* calls/);
    expect(stdout).toMatch(/instances needed, of one worker each +4 +not measured\n/);
  });

  it('ends with status 2 where an option makes no sense', async () => {
    const { status, stderr } = await run([...load, '--provider', 'azure']);
    expect(status).toBe(2);
    expect(stderr).toContain('Allowed choices are aws-kms, gcp-kms, pkcs11');
  });
});

describe('the options of plan', () => {
  it('are read exactly', () => {
    expect(parseCount('100000')).toBe(100_000n);
    expect(['500ms', '10s', '2m', '1h'].map(parseInterval)).toEqual([
      500n,
      10_000n,
      120_000n,
      3_600_000n,
    ]);
    expect(parsePositive('0.1')).toEqual(rational(1n, 10n));
    expect(parseTickets('100')).toEqual(rational(100n));
  });

  it.each([
    [parseCount, '0', 'at least 1'],
    [parseCount, '1.5', 'at least 1'],
    [parseCount, '-1', 'at least 1'],
    [parseInterval, '10', 'a time such as'],
    [parseInterval, '0s', 'a time such as'],
    [parsePositive, '0.0', 'above 0'],
    [parseTickets, '0', 'above 0'],
    [parseTickets, '1e2', 'above 0'],
    [parseTickets, '100.5', 'at most 100'],
  ])('are refused where they make no sense: %o %s', (parse, text, reason) => {
    expect(() => parse(text)).toThrow(reason);
  });
});
