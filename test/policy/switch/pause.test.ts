import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openSigningSwitch } from '../../../src/compose/signing-switch.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { BrokerTransaction } from '../../../src/keys/broker-transaction.ts';
import type { Intent } from '../../../src/keys/intents.ts';
import { addressFromBytes } from '../../../src/pm/bytes.ts';
import { type Pause, createSigningPermit } from '../../../src/policy/switch/signing-switch.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { PayingSession } from '../../bench/paying-session.ts';
import { Cli, Folder, devConfig, run } from '../../cli/cli.ts';
import { payableRequest } from '../../cli/payable-request.ts';
import { readRecords } from '../../guardrails/evidence.ts';
import { as, startGuardedSigner } from '../../guardrails/guarded-signer.ts';
import { startAuthWebhook } from '../../payments/auth-webhook.ts';
import { createPolicyWithoutRules } from '../no-rules.ts';
import { soon } from '../../support/soon.ts';
import { startRedisServer } from '../../support/redis-server.ts';
import { startTestSigner } from '../../support/test-signer.ts';

const sender = addressFromBytes(new Uint8Array(20).fill(7));

const running: Cli[] = [];
const closing: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
  for (const each of closing.splice(0)) await each.close();
});

function configure(folder: Folder, sections: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(sections).map(
    ([name, value]) => `${name}: ${JSON.stringify(value)}`,
  );
  return folder.write('signer.yaml', `${devConfig}${lines.join('\n')}\n`);
}

function serve(config: string): Cli {
  const cli = new Cli(['serve', '--config', config]);
  running.push(cli);
  return cli;
}

/** The processes of a signer with workers, by Linux's `/proc`. */
function processesOf({ child }: Cli): number[] {
  const file = `/proc/${child.pid}/task/${child.pid}/children`;
  return [...readFileSync(file, 'utf8').split(' ').filter(Boolean).map(Number), child.pid ?? 0];
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

type Answer = { readonly status: number; readonly code: string | null; readonly text: string };

async function post(
  url: string,
  path: string,
  body = '',
): Promise<Answer & { retry: string | null }> {
  const headers = { Connection: 'close' };
  const response = await fetch(`${url}${path}`, { method: 'POST', headers, body });
  return {
    status: response.status,
    code: response.headers.get('livepeer-signer-code'),
    retry: response.headers.get('retry-after'),
    text: await response.text(),
  };
}

/** Pays from several clients until told to stop; each answer with the time when its request began. */
function payAllTheTime(url: string): {
  answers: { beganMs: number; status: number }[];
  stop(): Promise<void>;
} {
  let isOver = false;
  const answers: { beganMs: number; status: number }[] = [];
  const client = async (): Promise<void> => {
    const session = new PayingSession(1);
    while (!isOver) {
      const beganMs = performance.now();
      try {
        const { status, text } = await post(url, '/generate-live-payment', session.request());
        if (status === 200) session.take(text);
        answers.push({ beganMs, status });
      } catch {
        // the signer was killed
        await new Promise(setImmediate);
      }
    }
  };
  const clients = [client(), client(), client(), client()];
  return {
    answers,
    async stop() {
      isOver = true;
      await Promise.all(clients);
    },
  };
}

describe('pause and resume', () => {
  it('stop two workers under load at once and over a kill, and let them go on, on record', async () => {
    using folder = new Folder();
    const config = configure(folder, {
      server: { listen: '127.0.0.1:0', workers: 2 },
      audit: { path: 'audit' },
      byoc: { enabled: true },
    });
    const cli = serve(config);
    const url = await cli.listening();
    const load = payAllTheTime(url);
    const signed = () => load.answers.filter(({ status }) => status === 200).length;
    await soon(() => expect(signed()).toBeGreaterThan(20));

    const paused = await run(['pause', '--config', config, '--reason', 'stolen\u001b[31m laptop']);
    const pausedAtMs = performance.now();
    expect(paused).toMatchObject({ status: 0, stderr: '' });
    expect(paused.stdout).toMatch(/^signing is paused: no payment that begins now is signed/);
    const later = () => load.answers.filter(({ beganMs }) => beganMs > pausedAtMs);
    await soon(() => expect(later().length).toBeGreaterThan(60));
    const processes = processesOf(cli);
    expect(processes).toHaveLength(3);
    for (const pid of processes) process.kill(pid, 'SIGKILL');
    await soon(() => expect(processes.filter(isRunning)).toEqual([]));
    await load.stop();
    expect(new Set(later().map(({ status }) => status))).toEqual(new Set([503]));

    const again = serve(config);
    const urlAgain = await again.listening();
    for (const path of ['/generate-live-payment', '/sign-orchestrator-info', '/sign-byoc-job']) {
      for (let worker = 0; worker < 2; worker += 1) {
        expect(await post(urlAgain, path, payableRequest())).toMatchObject({
          status: 503,
          code: 'SIGNING_PAUSED',
          retry: '10',
          text: '{"error":{"message":"Service Unavailable Error"}}\n',
        });
      }
    }
    expect((await fetch(`${urlAgain}/readyz`)).status).toBe(503);
    const readiness = await fetch(`${await again.adminListening()}/readyz`);
    expect(readiness.status).toBe(503);
    const told = (await readiness.json()) as { parts: { signing: object } };
    expect(told.parts.signing).toMatchObject({
      code: 'SIGNING_PAUSED',
      reason: expect.stringMatching(
        // eslint-disable-next-line no-control-regex -- as the operator wrote it
        /^an operator has stopped all signing: \S+@\S+, on 2\S+Z: stolen\u001b\[31m laptop$/,
      ) as string,
    });
    const metrics = await (await fetch(`${await again.adminListening()}/metrics`)).text();
    expect(metrics).toMatch(/^livepeer_hsm_signer_signing_paused 1$/m);
    const records = readRecords(join(folder.path, 'audit'));
    const pause = records.find(({ kind }) => kind === 'signing-paused');
    expect(pause).toMatchObject({
      reason: 'stolen\u001b[31m laptop',
      by: expect.stringMatching(/^\S+@\S+/) as string,
    });
    const usedAfter = records.filter(
      ({ kind, intent, time }) =>
        kind === 'key-use' && intent !== 'self-test' && String(time) > String(pause?.['time']),
    );
    expect(usedAfter).toEqual([]);

    const resumed = await run(['resume', '--config', config]);
    expect(resumed).toMatchObject({ status: 0, stderr: '' });
    await soon(async () => {
      for (let worker = 0; worker < 2; worker += 1) {
        const { status } = await post(
          urlAgain,
          '/generate-live-payment',
          new PayingSession(1).request(),
        );
        expect(status).toBe(200);
      }
      expect((await fetch(`${urlAgain}/readyz`)).status).toBe(200);
    });
    expect((await post(urlAgain, '/sign-orchestrator-info')).status).toBe(200);
    expect(readRecords(join(folder.path, 'audit')).at(-1)).toBeDefined();
    expect(
      readRecords(join(folder.path, 'audit')).filter(({ kind }) => kind === 'signing-resumed'),
    ).toHaveLength(1);
    expect(again.stderr).toContain('"msg":"signing goes on"');
  });

  it('hold for all instances that share a Redis; one that can’t ask signs nothing', async () => {
    await using redis = await startRedisServer();
    const store = { kind: 'redis', url: redis.url };
    const signers = [
      await startTestSigner({ settings: { store } }),
      await startTestSigner({ settings: { store } }),
    ];
    closing.push(...signers);
    const pay = async (): Promise<(string | number | null)[]> => {
      const answers = await Promise.all(
        signers.map((signer) => signer.post(new PayingSession(1).request())),
      );
      return answers.map(({ status, headers }) => headers.get('livepeer-signer-code') ?? status);
    };
    using folder = new Folder();
    const config = await loadConfig(configure(folder, { store }));
    const use = async (order: 'pause' | 'resume'): Promise<void> => {
      await using signing = await openSigningSwitch(config, createLogger('error'), 'cli');
      await signing[order]({ by: 'ann', reason: 'drill' });
    };
    expect(await pay()).toEqual([200, 200]);
    await use('pause');
    expect(await pay()).toEqual(['SIGNING_PAUSED', 'SIGNING_PAUSED']);

    // only a resume ends a pause that an instance knows of
    expect(await redis.command('FLUSHALL')).toBe('+OK');
    expect(await pay()).toEqual(['SIGNING_PAUSED', 'SIGNING_PAUSED']);
    await use('resume');
    expect(await pay()).toEqual([200, 200]);

    await redis.kill();
    expect(await pay()).toEqual([503, 503]);
    await expect(use('pause')).rejects.toMatchObject({ code: 'SIGNING_SWITCH_UNAVAILABLE' });
    await redis.start();
    await soon(async () => expect(await pay()).toEqual([200, 200]));
  });

  it('leave nothing signed of a payment that had its approval before, and nothing reserved', async () => {
    const webhook = await startAuthWebhook();
    closing.push(webhook);
    const signer = await startGuardedSigner({
      policy:
        'default: allow\nrules:\n  - id: day\n    window: { per: tenant, every: 24h, tickets: 1 }\n',
      settings: { auth: { webhook: { url: webhook.url }, trustedProxies: ['127.0.0.1'] } },
    });
    closing.push(signer);
    signer.now = undefined;
    const file = join(signer.folder, 'audit', 'signing-paused.json');
    webhook.onAsked = () => writeFileSync(file, '');
    const send = () => signer.post(new PayingSession(1).request(), as('acme:ann'));
    const held = await send();
    expect(held.status).toBe(503);
    expect(held.headers.get('livepeer-signer-code')).toBe('SIGNING_PAUSED');
    expect(webhook.asked).toHaveLength(1);
    expect(signer.key.digests).toEqual([]);
    // refused before anybody is asked
    expect((await send()).status).toBe(503);
    expect(webhook.asked).toHaveLength(1);
    webhook.onAsked = () => undefined;

    // whatever has the name counts: a folder, a link that leads nowhere
    rmSync(file);
    symlinkSync('/nowhere', file);
    expect((await send()).status).toBe(503);
    rmSync(file);
    mkdirSync(file);
    expect((await send()).status).toBe(503);
    rmSync(file, { recursive: true });
    // the one ticket of the day is still there
    expect((await send()).status).toBe(200);
    expect(
      readRecords(join(signer.folder, 'audit')).filter(({ kind }) => kind === 'denied'),
    ).toEqual([]);
  });

  it('sign nothing that waits for its turn at the key', async () => {
    let file = '';
    const signer = await startGuardedSigner({
      concurrency: 1,
      reply: (bytes) => {
        if (file !== '') writeFileSync(file, '');
        return { encoding: 'raw', bytes };
      },
    });
    closing.push(signer);
    signer.now = undefined;
    file = join(signer.folder, 'audit', 'signing-paused.json');
    const answer = await signer.post(new PayingSession(20).request());
    expect(answer.headers.get('livepeer-signer-code')).toBe('SIGNING_PAUSED');
    expect(signer.key.digests).toHaveLength(1);
  });

  it('refuse whatever the key may be asked for, however it was granted, but self-tests', () => {
    const held: { pause?: Pause } = {};
    const policy = createPolicyWithoutRules({
      nowMs: () => 0,
      signingPermit: createSigningPermit({
        read: () => Promise.resolve(held.pause),
        known: () => held.pause,
      }),
      transactions: { chainId: 1, broker: sender, maxFee: 10n ** 18n },
    });
    const call = { name: 'unlock' } as const;
    const fees = { nonce: 0n, gasLimit: 1n, maxFeePerGas: 1n, maxPriorityFeePerGas: 1n };
    const transaction = { chainId: 1, broker: sender, call, ...fees };
    const verdict = policy.decideTransaction(transaction as unknown as BrokerTransaction);
    const selfTest = policy.grantOwn({ kind: 'self-test', sender });
    const grants = [
      policy.grantOwn({ kind: 'orchestrator-info', sender }),
      ...(verdict.kind === 'allow' ? [verdict.grant] : []),
    ];
    expect(grants).toHaveLength(2);
    held.pause = { by: 'ann', reason: 'drill', since: '' };
    const paused = expect.objectContaining({ code: 'SIGNING_PAUSED' }) as Error;
    for (const grant of grants) expect(() => policy.redeem(grant)).toThrow(paused);
    for (const kind of ['ticket-batch', 'session-state', 'byoc-job', 'state-delegation']) {
      expect(() => policy.requireSigning({ kind } as Intent)).toThrow(paused);
    }
    expect(policy.redeem(selfTest).intent.kind).toBe('self-test');
  });

  it('say where a switch can be kept, and that a pause holds which can’t be recorded', async () => {
    using folder = new Folder();
    const open = async (sections: Readonly<Record<string, unknown>>) =>
      openSigningSwitch(
        await loadConfig(configure(folder, sections)),
        createLogger('error'),
        'cli',
      );
    await expect(open({})).rejects.toThrow('set audit.path, store.path, or store.kind: redis');

    const audit = join(folder.path, 'audit');
    mkdirSync(audit);
    writeFileSync(join(audit, 'cli'), '');
    const config = configure(folder, { audit: { path: 'audit' } });
    const unrecorded = await run(['pause', '--config', config]);
    expect(unrecorded.status).toBe(1);
    expect(unrecorded.stdout).toMatch(/^signing is paused/);
    expect(unrecorded.stderr).toContain('[AUDIT_UNAVAILABLE]');
    await using signing = await open({ audit: { path: 'audit' } });
    await expect(signing.resume({ by: 'ann' })).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
    });
    expect(await signing.state()).toMatchObject({ kind: 'paused', reason: '' });
  });
});
