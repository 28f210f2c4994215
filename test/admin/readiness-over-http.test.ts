import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Folder } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { soon } from '../support/soon.ts';
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
      await soon(async () => expect(await readiness()).toMatchObject({ status: 200 }));
    } finally {
      await signer.close();
    }
  });

  it('tells of a stop alone once the parts are closed, and the log of no failure', async () => {
    using folder = new Folder();
    const file = folder.write(
      'policy.yaml',
      'default: allow\nrules: [{ id: hourly, window: { per: all, every: 1h, tickets: 10 } }]\n',
    );
    // it is the last to be told of the stop
    const asked = Promise.withResolvers<http.ServerResponse>();
    const collector = http.createServer((_request, response) => asked.resolve(response));
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      collector.close();
      collector.closeAllConnections();
    });
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    const signer = await startTestSigner({
      settings: {
        audit: { path: `${folder.path}/audit` },
        policy: { file },
        store: { kind: 'embedded', path: `${folder.path}/store` },
        traces: { sampleRatio: 1, otlp: { endpoint, timeoutMs: 60_000 } },
      },
    });
    expect((await signer.post(payableRequest())).status).toBe(200);
    const readyParts = async (): Promise<readonly string[]> => {
      const answer = await fetch(`${signer.adminUrl}/metrics`);
      expect(answer.status).toBe(200);
      return (await answer.text()).match(/(?<=^livepeer_hsm_signer_ready).*$/gm) ?? [];
    };
    expect(await readyParts()).toContain('{part="key"} 1');
    const closed = signer.close();
    const told = await asked.promise;
    const response = await fetch(`${signer.adminUrl}/readyz`);
    const { parts } = (await response.json()) as { parts: Record<string, object> };
    expect(response.status).toBe(503);
    expect(Object.keys(parts)).toEqual(['server']);
    expect(parts['server']).toMatchObject({ ready: false, code: 'SERVER_STOPPING' });
    expect(await readyParts()).toEqual(['{part="server"} 0']);
    told.end();
    await closed;
    expect(signer.logLines.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  });
});
