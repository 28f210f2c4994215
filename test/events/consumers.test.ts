import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDelivery } from '../../src/events/delivery.ts';
import { createFileSink } from '../../src/events/sinks/file.ts';
import { KeyFile } from '../auth/auth-world.ts';
import { Folder } from '../cli/cli.ts';
import {
  type GuardedSigner,
  as,
  firstPayment,
  nextPayment,
  startGuardedSigner,
  ticketEv,
} from '../guardrails/guarded-signer.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { expectPaid } from '../payments/expectations.ts';
import { type Changes, mergeChanges, usualNow } from '../payments/request-builder.ts';
import { soon } from '../support/soon.ts';
import {
  BatteriesBooks,
  type KnownSession,
  collectForPymthouse,
  meterUsage,
  strictEvent,
} from './consumers.ts';

const usdPerEther = 3_200;
const types = ['lv2v', 'live', 'fixed', ''] as const;

/** A price at which some tickets are due. */
const priceOf = { lv2v: 10n, live: ticketEv, fixed: ticketEv, '': ticketEv };

type Caller = { readonly authId: string; readonly headers: Record<string, string> };

/** Two payments of each type for each caller; gives what went out, and what the auth webhook was asked. */
async function sell(
  signer: GuardedSigner,
  profile: string,
  callers: readonly Caller[],
): Promise<string[]> {
  for (const { headers } of callers) {
    for (const type of types) {
      signer.now = usualNow;
      const changes: Changes = {
        body: { type, app: 'studio', inPixels: type === '' ? 1 : 0 },
        priceInfo: { pricePerUnit: priceOf[type] },
      };
      const first = expectPaid(await signer.post(await firstPayment(1, changes), headers));
      signer.now = usualNow + 30_000_000_000n;
      const next = mergeChanges({ body: { ManifestID: first.manifestId } }, changes);
      expectPaid(await signer.post(await nextPayment(first.sealed, 1, next), headers));
    }
  }
  const out = join(signer.folder, `${profile}.jsonl`);
  const delivery = await startDelivery({
    auditFolder: join(signer.folder, 'audit'),
    sink: createFileSink({ path: out }),
    log: () => undefined,
    nowMs: () => Date.now(),
  });
  try {
    return await soon(() => {
      const lines = readFileSync(out, 'utf8').split('\n').slice(0, -1);
      expect(lines).toHaveLength(2 * types.length * callers.length);
      return lines;
    });
  } finally {
    await delivery.close();
  }
}

const dataOf = (message: string) => (JSON.parse(message) as { data: Record<string, unknown> }).data;

describe.each(['go-livepeer', 'livepeer-node'])('events of profile %s', (profile) => {
  const folder = new Folder();
  let callers: readonly Caller[];
  let messages: readonly string[];
  let sessions: readonly KnownSession[];

  beforeAll(async () => {
    await using opened = new AsyncDisposableStack();
    const keys = new KeyFile(folder);
    const key = (principal: string, tenant?: string): Record<string, string> => ({
      'X-Api-Key': keys.add({ principal, ...(tenant !== undefined && { tenant }) }),
    });
    const webhook = opened.adopt(await startAuthWebhook(), (each) => each.close());
    const settings = {
      events: { profile, file: { path: join(folder.path, 'events.jsonl') } },
      prices: { feed: { weiPerUsd: `1000000000000000000/${usdPerEther}` } },
    };
    const byKey = [
      { authId: 'acme:gw-1', headers: key('gw-1', 'acme') },
      { authId: ':gw-2', headers: key('gw-2') },
      { authId: 'globex:owner:app-7', headers: { ...key('proxy'), ...as('globex:owner:app-7') } },
    ];
    const byWebhook = [{ authId: 'client:payer#actor', headers: {} }];
    webhook.reply = { status: 200, auth_id: 'client:payer#actor', expiry: 0 };
    const open = async (auth: object): Promise<GuardedSigner> =>
      opened.adopt(await startGuardedSigner({ settings: { ...settings, auth } }), (each) =>
        each.close(),
      );
    const keyed = await open({ apiKeys: { file: keys.path }, trustedProxies: ['127.0.0.1'] });
    const asking = await open({ webhook: { url: webhook.url } });
    messages = [
      ...(await sell(keyed, profile, byKey)),
      ...(await sell(asking, profile, byWebhook)),
    ];
    callers = [...byKey, ...byWebhook];
    sessions = webhook.asked.map(({ state }) => ({
      stateId: String(state['StateID']),
      app: String(state['App']),
      orchestrator: String(state['OrchestratorAddress']),
      authId: 'client:payer#actor',
    }));
  });
  afterAll(() => folder[Symbol.dispose]());

  it('are metered by livepeer/clearinghouse’s collector, each once, for whoever asked', () => {
    const usages = messages.map((message) => meterUsage(message, usdPerEther));
    expect(new Set(usages.map(({ id }) => id)).size).toBe(messages.length);
    const perCaller = messages.length / callers.length;
    const expected = callers.flatMap(({ authId }) => Array<string>(perCaller).fill(authId));
    expect(messages.map((message) => dataOf(message)['auth_id'])).toEqual(expected);
    for (const [index, { id, subject, data, time }] of usages.entries()) {
      const {
        computed_fee: fee,
        billable_secs: seconds,
        pipeline,
        pixels,
      } = dataOf(messages[index] ?? '');
      expect(id).toMatch(/^[0-9a-f]{32}$/);
      expect(subject).not.toBe('');
      expect(data.usage_subject).not.toBe('');
      expect(Date.parse(time)).toBeGreaterThanOrEqual(Number(usualNow / 1_000_000n));
      expect(data).toMatchObject({
        fee_wei: Number(fee),
        network_fee_usd_micros: (Number(fee) * usdPerEther) / 1e12,
        billable_secs: seconds,
        pixels: String(pixels),
        pipeline: pipeline === '' ? 'unknown' : pipeline,
        model_id: 'unknown',
        gateway_request_id: id,
      });
      expect(data.fee_wei).toBeGreaterThan(0);
    }
    const owner = usages.find(({ data }) => data.usage_subject_type === 'app_owner');
    expect(owner).toMatchObject({ subject: 'app-7', data: { client_id: 'globex' } });
  });

  it('are booked by clearinghouse-batteries for the sessions that its webhook approved', () => {
    const ofWebhook = messages.filter(
      (message) => dataOf(message)['auth_id'] === 'client:payer#actor',
    );
    const books = new BatteriesBooks(sessions, { inUsd: profile === 'livepeer-node' });
    for (const message of [...ofWebhook, ...ofWebhook]) books.ingest(message);
    expect(books.size).toBe(2 * types.length);
    const [message = ''] = ofWebhook;
    expect(() => books.ingest(message.replace('"studio"', '"studio "'))).toThrow('another event');
    if (profile === 'livepeer-node') return;
    const inUsd = new BatteriesBooks(sessions, { inUsd: true });
    expect(() => inUsd.ingest(message)).toThrow('USD fee unavailable');
  });

  it('are read by pymthouse’s collector', () => {
    const read = messages.map(collectForPymthouse);
    expect(read.filter(({ isNew }) => isNew)).toHaveLength(messages.length / 2);
    expect(read.at(-1)).toEqual({
      client: 'client',
      payer: 'payer',
      actor: 'actor',
      pipeline: '',
      model: '',
      isNew: false,
    });
    const pipelines = new Set(read.map(({ pipeline }) => pipeline));
    expect(pipelines).toEqual(new Set(['live-video-to-video', 'live', 'fixed', '']));
  });

  it('are taken by a model that forbids other keys with the 21 of go-livepeer, and only so', () => {
    const taken = messages.filter((message) => strictEvent.safeParse(JSON.parse(message)).success);
    expect(taken).toHaveLength(profile === 'go-livepeer' ? messages.length : 0);
  });
});
