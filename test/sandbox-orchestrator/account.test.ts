import { beforeEach, describe, expect, it } from 'vitest';
import { Account } from './account.ts';
import { maxWinProb } from './ticket.ts';

const price = { numerator: 1n, denominator: 3n };
let account: Account;

beforeEach(() => {
  account = new Account('0xsender', 'manifest');
});

describe('an account', () => {
  it('adds up expected values without rounding', () => {
    for (let ticket = 0; ticket < 3; ticket += 1) account.creditTicket(10n, maxWinProb / 3n);
    expect(account.creditedWei).toEqual({
      numerator: 30n * (maxWinProb / 3n),
      denominator: maxWinProb,
    });
  });

  it('debits at an exact price', () => {
    account.creditTicket(10n, maxWinProb);
    account.startSession(0n, price, 1n);
    expect(account.debit(7n)).toBeUndefined();
    const { numerator, denominator } = account.balanceWei;
    expect(numerator * 3n).toBe(denominator * 23n);
  });

  it('covers a fee of exactly its balance, and not one unit more', () => {
    account.creditTicket(2n, maxWinProb);
    account.startSession(0n, price, 1n);
    expect(account.debit(7n)).toBe('insufficient balance, mid=manifest, fee=2, balance=2');
    expect(account.debit(6n)).toBeUndefined();
    expect(account.debitedUnits).toBe(6n);
  });

  it('carries fractions of a unit over to the next debit', () => {
    account.creditTicket(100n, maxWinProb);
    account.startSession(1_000_000_000n, price, 1n);
    account.tick(6_900_000_000n);
    expect(account.debitedUnits).toBe(5n);
    account.tick(10_999_999_999n);
    expect(account.debitedUnits).toBe(5n);
    account.tick(11_000_000_000n);
    expect(account.debitedUnits).toBe(10n);
  });

  it('is not debited any more once its session was dropped', () => {
    account.startSession(0n, price, 1n);
    expect(account.tick(5_000_000_000n)).toContain('insufficient balance');
    expect(account.droppedAtNs).toBe(5_000_000_000n);
    account.creditTicket(100n, maxWinProb);
    expect(account.tick(10_000_000_000n)).toBeUndefined();
    expect(account.debitedUnits).toBe(0n);
  });
});
