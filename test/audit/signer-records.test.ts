import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import { PayingSession } from '../bench/paying-session.ts';
import { Folder, root } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { SmallDisk } from './small-disk.ts';
import { TestLog, filesOf, recordsOf } from './test-log.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import {
  type TestSigner,
  type TestSignerOptions,
  startTestSigner,
} from '../support/test-signer.ts';
import { soon } from '../support/soon.ts';

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const signer of opened.splice(0)) await signer.close();
});

async function startAudited(
  folder: string,
  { settings, ...options }: TestSignerOptions = {},
): Promise<TestSigner> {
  const audit = { path: folder, maxFileBytes: 65_536 };
  const signer = await startTestSigner({ ...options, settings: { ...settings, audit } });
  opened.push(signer);
  return signer;
}

const toDigits = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('the audit log of a running signer', () => {
  it('has each digest that the key was given, why it was, and what came of it, but no signature', async () => {
    await using log = new TestLog();
    const signer = await startAudited(log.folder);
    const answer = await signer.post(
      new PayingSession(3).request().replace(/\}$/, ',"gatewayRequestId":"job-1"}'),
    );
    expect(answer.status).toBe(200);
    const requestId = answer.headers.get('x-request-id');
    const records = recordsOf(log.chain);
    const uses = records.filter(({ request }) => request === requestId);
    expect(uses.map(({ intent }) => intent).sort()).toEqual([
      'segment-credentials',
      'ticket-batch',
    ]);
    expect(uses.flatMap(({ digests }) => digests).sort()).toEqual(
      signer.key.digests.map(toDigits).sort(),
    );
    expect(uses.find(({ intent }) => intent === 'ticket-batch')).toMatchObject({
      kind: 'key-use',
      sender: signer.address,
      key: 'test-key:memory',
      verdict: 'allow',
      digests: { length: 3 },
      amounts: { tickets: '3', evWei: expect.stringMatching(/^\d+$/) as string },
      subject: { recipient: expect.stringMatching(/^0x/) as string },
      usage: { gatewayRequestId: 'job-1' },
    });
    for (const { use, digests } of uses) {
      expect(
        records.filter((record) => record['use'] === use && record.kind !== 'key-use'),
      ).toMatchObject([{ kind: 'signed', signatures: (digests as string[]).length }]);
    }
    expect(records.slice(0, 3)).toMatchObject([
      { kind: 'start' },
      { kind: 'key-use', intent: 'self-test' },
      { kind: 'signed' },
    ]);

    const text = filesOf(log.chain)
      .map((file) => readFileSync(file, 'latin1'))
      .join('');
    const { payment, state } = JSON.parse(answer.text) as {
      payment: string;
      state: { Sig: string };
    };
    const bytes = Buffer.concat([Buffer.from(payment, 'base64'), Buffer.from(state.Sig, 'base64')]);
    for (let start = 0; start + 65 <= bytes.length; start += 1) {
      const window = bytes.subarray(start, start + 65);
      if (window[64] === 27 || window[64] === 28) expect(text).not.toContain(toDigits(window));
    }
  });

  it('tells why the key failed', async () => {
    await using log = new TestLog();
    let isFailing = false;
    const signer = await startAudited(log.folder, {
      reply: (bytes) => {
        if (isFailing) throw new ProviderError('PROVIDER_THROTTLED', 'too many calls');
        return { encoding: 'raw', bytes };
      },
    });
    isFailing = true;
    const answer = await signer.post(new PayingSession(1).request());
    expect(answer.status).toBe(503);
    await soon(() => {
      const records = recordsOf(log.chain);
      const uses = records.filter(({ request }) => request === answer.headers.get('x-request-id'));
      expect(uses.length).toBeGreaterThan(0);
      for (const { use } of uses) {
        expect(
          records.find((record) => record['use'] === use && record.kind !== 'key-use'),
        ).toMatchObject({
          kind: 'failed',
          code: expect.stringMatching(/PROVIDER_THROTTLED|REQUEST_ABORTED/) as string,
        });
      }
    });
  });

  it('has denials by guardrails', async () => {
    await using log = new TestLog();
    const settings = { prices: { maxPrice: { fixed: '1 wei' } } };
    const signer = await startAudited(log.folder, { settings });
    const tooDear = await signer.post(new PayingSession(1).request());
    expect(tooDear.status).toBe(481);
    await soon(() =>
      expect(recordsOf(log.chain).at(-1)).toMatchObject({
        kind: 'denied',
        request: tooDear.headers.get('x-request-id'),
        code: 'PRICE_ABOVE_CEILING',
        principal: '',
        message: expect.stringContaining('price') as string,
        subject: { orchestrator: expect.stringMatching(/^0x/) as string },
      }),
    );
  });

  it('names the policy file in force, and the rule that has denied', async () => {
    await using log = new TestLog();
    using folder = new Folder();
    const text = 'default: allow\nrules:\n  - { id: nobody-pays, then: deny }\n';
    const file = folder.write('policy.yaml', text);
    const signer = await startAudited(log.folder, { settings: { policy: { file } } });
    const denied = await signer.post(new PayingSession(1).request());
    expect(denied.status).toBe(403);
    const records = await soon(() => {
      const found = recordsOf(log.chain);
      expect(found.at(-1)).toMatchObject({
        kind: 'denied',
        request: denied.headers.get('x-request-id'),
        code: 'RULE_DENIED',
        rule: 'nobody-pays',
      });
      return found;
    });
    expect(records.find(({ kind }) => kind === 'policy')).toMatchObject({
      sha256: expect.stringMatching(/^[0-9a-f]+$/) as string,
    });
  });

  it('has neither the answers that steer clients, nor malformed requests, nor refused strangers', async () => {
    await using log = new TestLog();
    const webhook = await startAuthWebhook();
    opened.push(webhook);
    const signer = await startAudited(log.folder, {
      settings: { auth: { webhook: { url: webhook.url } } },
    });
    const body = JSON.parse(payableRequest()) as Record<string, unknown>;
    const first = await signer.post(JSON.stringify(body));
    expect(first.status).toBe(200);
    const before = recordsOf(log.chain);

    const { state } = JSON.parse(first.text) as { state: unknown };
    const tooSoon = await signer.post(JSON.stringify({ ManifestID: 'a1b2c3d4', ...body, state }));
    expect(tooSoon.status).toBe(482);
    expect((await signer.post('{')).status).toBe(400);
    webhook.reply = { status: 403, reason: 'who are you?' };
    expect((await signer.post(payableRequest())).status).toBe(403);
    await signer.close();
    expect(recordsOf(log.chain)).toEqual(before);
  });

  it('stops payments while the disk is full, signs nothing meanwhile, and goes on when there is room', async () => {
    await using log = new TestLog();
    using disk = new SmallDisk(512);
    const signer = await startAudited(disk.path);
    const session = new PayingSession(1);
    const first = await signer.post(session.request());
    expect(first.status).toBe(200);
    session.take(first.text);

    disk.fill(0);
    await soon(async () => {
      const answer = await signer.post(session.request());
      if (answer.status === 200) session.take(answer.text);
      expect(answer.status).toBe(503);
    });
    signer.key.reset();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const answer = await signer.post(session.request());
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).not.toBeNull();
    }
    expect(signer.key.digests).toEqual([]);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
    expect((await fetch(`${signer.url}/readyz`)).status).toBe(503);

    disk.makeRoom();
    await soon(async () => expect((await fetch(`${signer.url}/readyz`)).status).toBe(200));
    expect((await signer.post(session.request())).status).toBe(200);
    const records = recordsOf(join(disk.path, 'server-1'));
    expect(records.map(({ kind }) => kind)).toContain('resume');
    await log.closeAll();
  });
});

it('has a row in docs/audit.md for every kind of record', () => {
  const sources = ['src/audit/audit-log.ts', 'src/payments/audit-records.ts'];
  const kinds = sources.flatMap((source) =>
    [...readFileSync(join(root, source), 'utf8').matchAll(/kind: '([a-z-]+)'/g)].map(
      ([, kind]) => kind,
    ),
  );
  expect(kinds.length).toBeGreaterThan(5);
  const rows = [
    ...readFileSync(join(root, 'docs/audit.md'), 'utf8').matchAll(/^\| `([a-z-]+)` \| \w/gm),
  ];
  const documented = rows.map(([, kind]) => kind);
  for (const kind of kinds) expect(documented).toContain(kind);
});
