import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maxUint256 } from '../../src/pm/bytes.ts';
import { KeyFile } from '../auth/auth-world.ts';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import { buildOrchestrator, uint } from '../payments/request-builder.ts';
import { awsEnvironment } from '../secrets/signer-configs.ts';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { createRandom } from '../support/random.ts';
import { soon } from '../support/soon.ts';
import { type Scrape, scrape } from './read-metrics.ts';

const random = createRandom('questions of an operator');
/** One ticket's expected value, to a millionth. */
const ev = 1e12;
const webhookMs = 150;

type Asked = {
  readonly fee: bigint;
  readonly faceValue?: bigint;
  readonly state?: unknown;
  readonly tokenSeconds?: bigint;
};

function bodyOf({ fee, faceValue = 10n ** 15n, state, tokenSeconds = 3_600n }: Asked): string {
  const orchestrator = buildOrchestrator({
    ticketParams: {
      recipientRandHash: random.bytes(32),
      faceValue: uint(faceValue),
      winProb: uint(maxUint256 / 1_000n),
    },
    priceInfo: { pricePerUnit: fee, pixelsPerUnit: 1n },
    authToken: { expiration: BigInt(Math.floor(Date.now() / 1000)) + tokenSeconds },
  });
  return JSON.stringify({
    orchestrator: Buffer.from(orchestrator).toString('base64'),
    ManifestID: 'a1b2c3d4',
    type: 'fixed',
    state,
  });
}

const policy = `default: allow
rules:
  - id: no-strangers
    when: { tenant: [strangers] }
    then: deny
  - id: globex-hourly
    when: { tenant: [globex] }
    window: { per: tenant, every: 1h, tickets: 3 }
  - id: everybody-daily
    window: { per: all, every: 1d, ev: 1 ether }
`;

/** By metrics alone, after known traffic. */
describe.each([1, 2])(
  'the questions of whoever is on call, to a signer of %i processes',
  (workers) => {
    const folder = new Folder();
    let kms: AwsKmsWireServer;
    let cli: Cli;
    let url: string;
    let adminUrl: string;
    let before: Scrape;
    let now: Scrape;
    let apiKeys: Record<'acme' | 'globex' | 'strangers', string>;

    let answer: () => Promise<unknown> = () => Promise.resolve();
    const webhook = http.createServer((_request, response) => {
      void answer().then(() => response.end('{"status":200}'));
    });

    const pay = async (tenant: keyof typeof apiKeys, asked: Asked) => {
      const response = await fetch(`${url}/generate-live-payment`, {
        method: 'POST',
        body: bodyOf(asked),
        headers: { Authorization: `Bearer ${apiKeys[tenant]}`, Connection: 'close' },
      });
      const text = await response.text();
      return { status: response.status, state: (JSON.parse(text) as { state?: unknown }).state };
    };
    const statusOf = async (tenant: keyof typeof apiKeys, asked: Asked) =>
      (await pay(tenant, asked)).status;
    const twoTickets = { fee: BigInt(2 * ev - 10) };
    const oneTicket = { fee: BigInt(ev - 10) };
    const little = { fee: BigInt(ev / 100) };

    beforeAll(async () => {
      kms = await AwsKmsWireServer.start();
      kms.setAlias('alias/payer', kms.createKey());
      webhook.listen(0, '127.0.0.1');
      await once(webhook, 'listening');
      const { port } = webhook.address() as AddressInfo;
      const keyFile = new KeyFile(folder);
      apiKeys = {
        acme: keyFile.add({ principal: 'gw', tenant: 'acme' }),
        globex: keyFile.add({ principal: 'gw', tenant: 'globex' }),
        strangers: keyFile.add({ principal: 'gw', tenant: 'strangers' }),
      };
      folder.write('policy.yaml', policy);
      const key = {
        provider: 'aws-kms',
        keyId: 'alias/payer',
        region: kms.region,
        endpoint: kms.endpoint,
      };
      const config = `server: { listen: '127.0.0.1:0', workers: ${workers} }
keys: [${JSON.stringify(key)}]
auth: { apiKeys: { file: api-keys.yaml }, webhook: { url: 'http://127.0.0.1:${port}/' } }
policy: { file: policy.yaml }
store: { kind: embedded, path: spending }
audit: { path: audit }
${devConfig.slice(devConfig.indexOf('chain:'))}`;
      cli = new Cli(
        ['serve', '--config', folder.write('signer.yaml', config)],
        awsEnvironment(kms),
      );
      url = await cli.listening();
      adminUrl = await cli.adminListening();
      before = await scrape(adminUrl);

      for (let payment = 0; payment < 4; payment += 1) {
        expect(await statusOf('acme', twoTickets)).toBe(200);
      }
      for (let payment = 0; payment < 3; payment += 1) {
        expect(await statusOf('globex', oneTicket)).toBe(200);
      }
      expect(await statusOf('globex', oneTicket)).toBe(429);
      expect(await statusOf('strangers', oneTicket)).toBe(403);
      const begun = await pay('acme', little);
      expect(begun.status).toBe(200);
      // the credit of the first is worth many smaller tickets
      expect(await statusOf('acme', { ...little, state: begun.state, faceValue: 10n ** 13n })).toBe(
        482,
      );
      expect(await statusOf('acme', { ...oneTicket, tokenSeconds: 60n })).toBe(480);

      const held = Promise.withResolvers<undefined>();
      const asked = Promise.withResolvers<undefined>();
      answer = () => {
        asked.resolve(undefined);
        return held.promise;
      };
      const waiting = statusOf('acme', twoTickets);
      await asked.promise;
      expect((await scrape(adminUrl)).sum('livepeer_hsm_signer_requests_in_work')).toBe(1);
      await delay(webhookMs);
      held.resolve(undefined);
      expect(await waiting).toBe(200);

      kms.setFault('Sign', { kind: 'exception', name: 'AccessDeniedException' });
      expect(await statusOf('acme', oneTicket)).toBe(503);
      now = await scrape(adminUrl);
    }, 120_000);

    afterAll(async () => {
      cli.child.kill('SIGTERM');
      await cli.ended();
      webhook.close();
      await kms.close();
      folder[Symbol.dispose]();
    });

    it('who spends, and how much?', () => {
      const evOf = (tenant: string) =>
        now.sum('livepeer_hsm_signer_expected_value_wei_total', { tenant }) / ev;
      expect(evOf('acme')).toBeCloseTo(11, 4);
      expect(evOf('globex')).toBeCloseTo(3, 4);
      expect(evOf('strangers')).toBe(0);
      const feesOf = (tenant: string) =>
        now.sum('livepeer_hsm_signer_fees_wei_total', { tenant }) / ev;
      expect(feesOf('acme')).toBeCloseTo(10.01, 4);
      expect(feesOf('globex')).toBeCloseTo(3, 4);
    });

    it('what is left, and when does it run out?', () => {
      const [deposit = 0] = now.values('livepeer_hsm_signer_deposit_wei');
      expect(deposit).toBe(5e17);
      expect(now.values('livepeer_hsm_signer_reserve_wei')).toEqual([5e17]);
      const spentIn = (one: Scrape) => one.sum('livepeer_hsm_signer_expected_value_wei_total');
      // as a graph does it, at the rate of this test: so many times what was spent in it
      expect(deposit / (spentIn(now) - spentIn(before))).toBeCloseTo(5e17 / 14e12, 0);
    });

    it('who will be refused next?', () => {
      const left = (rule: string, limit: string) =>
        now.values('livepeer_hsm_signer_window_headroom', { rule, limit });
      expect(left('globex-hourly', 'tickets')).toEqual([0]);
      expect(
        now.values('livepeer_hsm_signer_window_limit', {
          rule: 'globex-hourly',
          scope: 'tenant=globex',
          window: '1h',
        }),
      ).toEqual([3]);
      const [everybody = 0] = left('everybody-daily', 'ev_wei');
      // the payment that failed at the key counts where the key was asked
      expect((1e18 - everybody) / ev).toBeGreaterThan(13.9);
      expect((1e18 - everybody) / ev).toBeLessThan(15.1);
    });

    it('is the key slow, or does it fail?', () => {
      const uses = (labels: Record<string, string>) =>
        now.sum('livepeer_hsm_signer_key_use_duration_seconds_count', {
          provider: 'aws-kms',
          intent: 'ticket-batch',
          ...labels,
        });
      expect(uses({ result: 'signed' })).toBe(9);
      expect(uses({ result: 'KEY_ACCESS_DENIED' })).toBe(1);
      expect(uses({})).toBe(10);
      expect(now.sum('livepeer_hsm_signer_key_use_duration_seconds_sum')).toBeGreaterThan(0);
      expect(now.values('livepeer_hsm_signer_key_calls_waiting')).toEqual([0]);
    });

    it('what is refused, and why?', () => {
      const refused = (code: string) => now.sum('livepeer_hsm_signer_refusals_total', { code });
      expect([
        refused('RULE_DENIED'),
        refused('WINDOW_EXHAUSTED'),
        refused('KEY_ACCESS_DENIED'),
      ]).toEqual([1, 1, 1]);
      expect(now.sum('livepeer_hsm_signer_refusals_total')).toBe(3);
      expect(now.sum('livepeer_hsm_signer_not_due_total')).toBe(1);
      expect(
        now.sum('livepeer_hsm_signer_session_refreshes_total', { code: 'AUTH_TOKEN_EXPIRING' }),
      ).toBe(1);
      const hits = { rule: 'no-strangers', verdict: 'deny' };
      expect(now.sum('livepeer_hsm_signer_rule_hits_total', hits)).toBe(1);
    });

    it('what else do payments wait for?', () => {
      const seconds = (dependency: string) =>
        now.sum('livepeer_hsm_signer_dependency_duration_seconds_sum', { dependency });
      const count = (dependency: string) =>
        now.sum('livepeer_hsm_signer_dependency_duration_seconds_count', {
          dependency,
          outcome: 'ok',
        });
      expect(seconds('webhook')).toBeGreaterThan(webhookMs / 1000);
      // all that came as far as the webhook: 9 signed, and one each that a rule, a window and the key refused
      expect(count('webhook')).toBe(12);
      expect(count('ledger')).toBe(11);
      expect(count('audit')).toBeGreaterThanOrEqual(18);
    });

    it('can it pay, and if not, why?', async () => {
      expect(now.values('livepeer_hsm_signer_ready', { part: 'key' })).toEqual([0]);
      expect(now.values('livepeer_hsm_signer_ready', { part: 'chain' })).toEqual([1]);
      expect(now.values('livepeer_hsm_signer_workers', { state: 'answering' })).toEqual([workers]);
      expect(now.values('livepeer_hsm_signer_workers', { state: 'silent' })).toEqual([0]);
      kms.setFault('Sign', { kind: 'delay', ms: 0 });
      await soon(async () => {
        const again = await scrape(adminUrl);
        expect(again.values('livepeer_hsm_signer_ready', { part: 'key' })).toEqual([1]);
      });
    });

    it('do my rules hold, and since when?', async () => {
      const read = async () => {
        const one = await scrape(adminUrl);
        const of = (name: string, labels = {}) =>
          one.values(`livepeer_hsm_signer_file_${name}`, { setting: 'policy.file', ...labels });
        return {
          ok: of('reloads_total', { result: 'ok' }),
          failed: of('reloads_total', { result: 'failed' }),
          wrong: of('not_in_force'),
          age: of('age_seconds')[0] ?? NaN,
        };
      };
      expect(await read()).toMatchObject({ ok: [0], failed: [0], wrong: [0] });
      const { age } = await read();
      writeFileSync(`${folder.path}/policy.yaml`, `${policy}# changed\n`);
      await soon(async () => expect(await read()).toMatchObject({ ok: [workers], wrong: [0] }));
      expect((await read()).age).toBeLessThan(age);
      writeFileSync(`${folder.path}/policy.yaml`, 'default: perhaps\n');
      await soon(async () =>
        expect(await read()).toMatchObject({ ok: [workers], failed: [workers], wrong: [1] }),
      );
    });

    it('what runs there, and has it enough CPU?', () => {
      expect(now.values('livepeer_hsm_signer_build_info', { curve: 'libsecp256k1' })).toEqual([1]);
      const [late = NaN] = now.values('livepeer_hsm_signer_event_loop_lag_seconds', {
        quantile: '0.99',
      });
      expect(late).toBeGreaterThanOrEqual(0);
      expect(now.sum('process_cpu_seconds_total')).toBeGreaterThan(
        before.sum('process_cpu_seconds_total'),
      );
      expect(now.sum('process_resident_memory_bytes')).toBeGreaterThan(workers * 3e7);
      const [startedAt = 0] = now.values('process_start_time_seconds');
      expect(Date.now() / 1000 - startedAt).toBeGreaterThan(0);
      expect(Date.now() / 1000 - startedAt).toBeLessThan(600);
    });
  },
);
