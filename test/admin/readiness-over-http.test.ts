import { writeFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { Folder } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startTestSigner, vectorChain } from '../support/test-signer.ts';

/** Readiness, and whether a payment is made, of a signer with these settings. */
async function ask(settings: Record<string, unknown>) {
  const signer = await startTestSigner({ settings });
  try {
    const response = await fetch(`${signer.adminUrl}/readyz`);
    const { parts } = (await response.json()) as { parts: Record<string, object> };
    expect((await fetch(`${signer.url}/readyz`)).status).toBe(response.status);
    const payment = await signer.post(payableRequest());
    return { ready: response.status, parts, paid: payment.status };
  } finally {
    await signer.close();
  }
}

describe('readiness', () => {
  it.each([
    { what: 'the deposit is 0', facts: { deposit: '0 wei' }, code: 'DEPOSIT_EMPTY' },
    { what: 'the reserve is 0', facts: { reserve: '0 wei' }, code: 'RESERVE_EMPTY' },
    {
      what: 'the withdrawal is due',
      facts: { withdrawRound: vectorChain.round },
      code: 'SENDER_UNLOCKING',
    },
    {
      what: 'the withdrawal is due in the next round',
      facts: { withdrawRound: vectorChain.round + 1 },
      code: 'SENDER_UNLOCKING',
    },
  ])('is red while $what, which no payment survives', async ({ facts, code }) => {
    const { ready, parts, paid } = await ask({ chain: { ...vectorChain, ...facts } });
    expect({ ready, paid }).toEqual({ ready: 503, paid: 400 });
    expect(parts['chain']).toMatchObject({
      ready: false,
      code,
      reason: expect.any(String) as string,
    });
    expect(parts['key']).toEqual({ ready: true, ageMs: 0, worker: 1 });
  });

  it('is green while the withdrawal is two rounds away', async () => {
    const chain = { ...vectorChain, withdrawRound: vectorChain.round + 2 };
    expect(await ask({ chain })).toMatchObject({ ready: 200, paid: 200 });
  });

  it('is red while the rules deny everything, with a warning in the log, and green once they do not', async () => {
    using folder = new Folder();
    const file = folder.write('policy.yaml', 'default: deny\nrules: []\n');
    const signer = await startTestSigner({ settings: { policy: { file } } });
    try {
      const readiness = async () => {
        const response = await fetch(`${signer.adminUrl}/readyz`);
        return { status: response.status, report: await response.json() };
      };
      expect(await readiness()).toMatchObject({
        status: 503,
        report: { ready: false, parts: { policy: { ready: false, code: 'NO_RULE_ALLOWS' } } },
      });
      expect((await signer.post(payableRequest())).status).toBe(403);
      expect(signer.logLines).toContainEqual(
        expect.objectContaining({
          level: 40,
          msg: 'every payment is denied: the default is to deny, and no rule allows any',
        }),
      );
      writeFileSync(file, 'default: allow\nrules: []\n');
      process.emit('SIGHUP');
      await vi.waitFor(async () => expect(await readiness()).toMatchObject({ status: 200 }));
    } finally {
      await signer.close();
    }
  });
});
