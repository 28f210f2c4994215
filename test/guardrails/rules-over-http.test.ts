import { afterEach, describe, expect, it } from 'vitest';
import { expectPaid, expectRefusal } from '../payments/expectations.ts';
import { usualNow } from '../payments/request-builder.ts';
import {
  type GuardedSigner,
  as,
  firstPayment,
  nextPayment,
  startGuardedSigner,
  ticketEv,
} from './guarded-signer.ts';
import { soon } from '../support/soon.ts';
import type { TestAnswer } from '../support/test-signer.ts';

let signer: GuardedSigner;
afterEach(() => signer.close());

describe('a policy file', () => {
  it('denies whom no rule allows, and has the key sign for whom one does', async () => {
    signer = await startGuardedSigner({
      policy: 'default: deny\nrules: [{ id: acme-pays, when: { tenant: [acme] }, then: allow }]',
    });
    const stranger = await signer.post(await firstPayment(1), as('globex:bob'));
    expectRefusal(signer, stranger, 403, 'denied: no rule allows this payment');
    expectRefusal(
      signer,
      await signer.post(await firstPayment(1)),
      403,
      'denied: no rule allows this payment',
    );
    expectPaid(await signer.post(await firstPayment(1), as('acme:alice')));
  });

  it('has an explicit deny win over an allow, and names the rule to the caller and in the log', async () => {
    signer = await startGuardedSigner({
      policy: `
default: allow
rules:
  - { id: all-may, then: allow }
  - { id: not-bob, when: { principal: ['acme:bob'] }, then: deny }`,
    });
    const denied = await signer.post(await firstPayment(1), as('acme:bob'));
    expectRefusal(signer, denied, 403, 'denied by rule not-bob');
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'RULE_DENIED', rule: 'not-bob' });
    expectPaid(await signer.post(await firstPayment(1), as('acme:alice')));
  });

  it('limits tickets, price, and the session over all its payments', async () => {
    signer = await startGuardedSigner({
      policy: `
default: allow
rules:
  - { id: few, when: { tenant: [small] }, limit: { tickets: 2 } }
  - { id: cheap, when: { tenant: [poor], type: [untyped] }, limit: { price: 10 wei } }
  - { id: short, limit: { sessionEv: ${5n * ticketEv} wei, sessionDuration: 1h } }`,
    });
    const post: GuardedSigner['post'] = (...request) => signer.post(...request);
    expectRefusal(
      signer,
      await post(await firstPayment(3), as('small:a')),
      403,
      'denied by rule few: 3 tickets exceed its limit of 2',
    );
    expectRefusal(
      signer,
      await post(await firstPayment(1), as('poor:a')),
      481,
      /^orchestrator price 1000000000\.000 exceeds rule cheap ceiling 10\.000$/,
    );
    const first = expectPaid(await post(await firstPayment(3)));
    expect(first.state).toMatchObject({ SpentEV: `${3n * ticketEv}` });
    signer.key.reset();
    expectRefusal(
      signer,
      await post(await nextPayment(first.sealed, 3)),
      403,
      `denied by rule short: the session's EV would exceed its limit of ${5n * ticketEv} wei`,
    );
    const second = expectPaid(await post(await nextPayment(first.sealed, 2)));
    expect(second.state).toMatchObject({ SpentEV: `${5n * ticketEv}` });
  });

  it('ends a session that has lasted too long', async () => {
    signer = await startGuardedSigner({
      policy: 'default: allow\nrules: [{ id: short, limit: { sessionDuration: 1h } }]',
    });
    const first = expectPaid(await signer.post(await firstPayment(1)));
    signer.now = usualNow + 3_599n * 1_000_000_000n;
    const second = expectPaid(await signer.post(await nextPayment(first.sealed, 1)));
    signer.now = usualNow + 3_602n * 1_000_000_000n;
    signer.key.reset();
    expectRefusal(
      signer,
      await signer.post(await nextPayment(second.sealed, 1)),
      403,
      'denied by rule short: the session has lasted longer than its limit of 1h',
    );
  });

  it('counts windows for each tenant by itself, and the signatures of payments that came to nothing', async () => {
    let isBroken = false;
    signer = await startGuardedSigner({
      policy: `
default: allow
rules: [{ id: hourly, window: { per: tenant, every: 1h, ev: ${10n * ticketEv} wei } }]`,
      reply: (bytes) => {
        if (isBroken) throw new Error('the key is broken');
        return { encoding: 'raw', bytes };
      },
    });
    expectPaid(await signer.post(await firstPayment(4), as('acme:a')));
    isBroken = true;
    expect((await signer.post(await firstPayment(3), as('acme:a'))).status).toBeGreaterThan(499);
    isBroken = false;
    signer.key.reset();
    expectFull(await signer.post(await firstPayment(4), as('acme:b')));
    const tooLarge = await signer.post(await firstPayment(11), as('globex:a'));
    const says = `an EV of ${11n * ticketEv} wei exceeds its limit of ${10n * ticketEv} wei every 1h`;
    expectRefusal(signer, tooLarge, 403, `denied by rule hourly: ${says}`);
    expectPaid(await signer.post(await firstPayment(3), as('acme:b')));
    expectPaid(await signer.post(await firstPayment(10), as('globex:a')));

    function expectFull(answer: TestAnswer): void {
      expect(answer.status).toBe(429);
      expect(answer.text).toMatch(/"denied by rule hourly: no room is left [^"]* for each tenant"/);
      const seconds = Number(answer.headers.get('retry-after'));
      expect(seconds > 3_590 && seconds <= 3_660).toBe(true);
      expect(signer.key.digests).toHaveLength(0);
    }
  });

  it('only reports what rules in observe mode would deny', async () => {
    signer = await startGuardedSigner({
      policy: `
default: allow
rules:
  - { id: would-deny, mode: observe, then: deny }
  - { id: would-limit, mode: observe, limit: { tickets: 1 } }
  - { id: would-exhaust, mode: observe, window: { per: all, every: 1h, tickets: 1 } }`,
    });
    expectPaid(await signer.post(await firstPayment(2)));
    expect(signer.logLines.at(-1)).toMatchObject({
      msg: 'payment signed',
      observed: ['would-deny', 'would-limit', 'would-exhaust'],
    });
  });

  it('is taken up while the signer runs, and a bad one changes nothing', async () => {
    signer = await startGuardedSigner({ policy: 'default: deny\nrules: []' });
    const post: GuardedSigner['post'] = (...request) => signer.post(...request);
    expect((await post(await firstPayment(1))).status).toBe(403);
    signer.writePolicy('default: allow\nrules: []');
    await soon(async () => expect((await post(await firstPayment(1))).status).toBe(200));
    signer.writePolicy('default: deny\nrules: [{ id: oops, then: perhaps }]');
    await soon(() => expect(signer.logLines.some(({ level }) => level === 50)).toBe(true));
    expectPaid(await post(await firstPayment(1)));
  });

  it('goes by the recipient of the tickets', async () => {
    signer = await startGuardedSigner({
      policy: `
default: deny
rules: [{ id: known, when: { recipient: [0x${'0a'.repeat(20)}] }, then: allow }]`,
    });
    const to = (byte: number) =>
      firstPayment(1, { ticketParams: { recipient: new Uint8Array(20).fill(byte) } });
    expectPaid(await signer.post(await to(0x0a)));
    signer.key.reset();
    const elsewhere = await to(0x0b);
    expectRefusal(signer, await signer.post(elsewhere), 403, 'denied: no rule allows this payment');
  });
});

describe('a session', () => {
  it('stays with the payer it began with', async () => {
    signer = await startGuardedSigner();
    const first = expectPaid(await signer.post(await firstPayment(1), as('acme:a')));
    signer.key.reset();
    const stolen = await signer.post(await nextPayment(first.sealed, 1), as('globex:b'));
    expectRefusal(signer, stolen, 500, 'Internal Server Error');
    expectPaid(await signer.post(await nextPayment(first.sealed, 1), as('acme:a')));
  });
});
