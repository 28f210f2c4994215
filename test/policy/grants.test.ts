import { describe, expect, it } from 'vitest';
import { Grant } from '../../src/keys/grant.ts';
import type { Intent } from '../../src/keys/intents.ts';
import { createGrantAuthority } from '../../src/policy/grants.ts';

const intent: Intent = { kind: 'segment-credentials', manifestId: 'mid1' };
const reason = { requestId: 'request 1' };
const invalid = (message: string) =>
  expect.objectContaining({ name: 'InternalError', code: 'GRANT_INVALID', message }) as Error;
const unknownOrUsed = invalid('the grant was never issued, or was used before');
const expired = invalid('the grant has expired');

function openAuthority() {
  const clock = { nowMs: 500 };
  return { clock, grants: createGrantAuthority(() => clock.nowMs) };
}

describe('a grant', () => {
  it('stands for the very intent it was issued for', () => {
    const { grants } = openAuthority();
    expect(grants.redeem(grants.issue(intent, reason)).intent).toBe(intent);
  });

  it('tells why it was given', () => {
    const { grants } = openAuthority();
    expect(grants.redeem(grants.issue(intent, reason)).reason).toBe(reason);
  });

  it('can be redeemed once', () => {
    const { grants } = openAuthority();
    const grant = grants.issue(intent, reason);
    grants.redeem(grant);
    expect(() => grants.redeem(grant)).toThrow(unknownOrUsed);
  });

  it('is one of its own, even for the same intent', () => {
    const { grants } = openAuthority();
    const [first, second] = [grants.issue(intent, reason), grants.issue(intent, reason)];
    expect(first).not.toBe(second);
    grants.redeem(first);
    expect(grants.redeem(second).intent).toBe(intent);
  });

  it.each([0, 1, 29_999, 30_000])('is good %i ms after it was issued', (age) => {
    const { grants, clock } = openAuthority();
    const grant = grants.issue(intent, reason);
    clock.nowMs += age;
    expect(grants.redeem(grant).intent).toBe(intent);
  });

  it.each([30_001, 60_000, 86_400_000])('has expired %i ms after it was issued', (age) => {
    const { grants, clock } = openAuthority();
    const grant = grants.issue(intent, reason);
    clock.nowMs += age;
    expect(() => grants.redeem(grant)).toThrow(expired);
  });

  it('is used up by being redeemed too late', () => {
    const { grants, clock } = openAuthority();
    const grant = grants.issue(intent, reason);
    clock.nowMs += 30_001;
    expect(() => grants.redeem(grant)).toThrow(expired);
    clock.nowMs -= 30_001;
    expect(() => grants.redeem(grant)).toThrow(unknownOrUsed);
  });

  it('means nothing to another authority, nor when it was made by hand', () => {
    const [one, other] = [openAuthority().grants, openAuthority().grants];
    const grant = one.issue(intent, reason);
    expect(() => other.redeem(grant)).toThrow(unknownOrUsed);
    expect(() => one.redeem(new Grant())).toThrow(unknownOrUsed);
    expect(one.redeem(grant).intent).toBe(intent);
  });

  it('shows nothing of its intent', () => {
    const { grants } = openAuthority();
    const grant = grants.issue(intent, reason);
    expect(Reflect.ownKeys(grant)).toEqual([]);
    expect(JSON.stringify(grant)).toBe('{}');
  });
});
