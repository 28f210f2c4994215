import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { AwsKmsServerThread } from '../../support/aws-kms-server-thread.ts';
import { AwsKmsWireServer } from '../../support/aws-kms-wire-server.ts';
import { calm, digest, open, useCredentials } from './setup.ts';

let server: AwsKmsWireServer;
let keyId: string;

beforeEach(async () => {
  server = await AwsKmsWireServer.start();
  useCredentials(server.credentials);
  keyId = server.createKey();
  const close = server.close.bind(server);
  onTestFinished(close);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a burst', () => {
  it('of 300 calls waits its turn, and KMS, whose quota is what the client is told, throttles none', async () => {
    const thread = await AwsKmsServerThread.start({ signQuotaPerSecond: 200 });
    onTestFinished(() => thread.close());
    const { credentials, keyId } = thread.facts;
    useCredentials(credentials);
    // An attempt that is given up may still be counted by KMS; on a busy machine none may be.
    const provider = await open(thread.facts, {
      keyId,
      requestsPerSecond: 200,
      attemptTimeoutMs: 60_000,
    });
    const calls = Array.from({ length: 300 }, () => provider.signDigest(digest, calm));
    await expect(Promise.all(calls)).resolves.toHaveLength(300);
    expect(await thread.counts()).toMatchObject({ throttled: 0, requests: { Sign: 300 } });
    await provider.close();
  });

  it('has as many requests with KMS as `concurrency` says, and never more', async () => {
    const thread = await AwsKmsServerThread.start();
    onTestFinished(() => thread.close());
    const { credentials, keyId } = thread.facts;
    useCredentials(credentials);
    const provider = await open(thread.facts, {
      keyId,
      concurrency: 32,
      attemptTimeoutMs: 60_000,
    });
    await thread.hold();
    const calls = Array.from({ length: 90 }, () => provider.signDigest(digest, calm));
    await vi.waitFor(
      async () => expect((await thread.counts()).underWay).toBeGreaterThanOrEqual(32),
      { timeout: 30_000 },
    );
    await thread.release();
    await expect(Promise.all(calls)).resolves.toHaveLength(90);
    expect(await thread.counts()).toMatchObject({ mostUnderWay: 32, requests: { Sign: 90 } });
    await provider.close();
  });

  it('of one tenant does not keep another waiting behind all of its calls', async () => {
    const provider = await open(server, { keyId, requestsPerSecond: 30, concurrency: 16 });
    const done: string[] = [];
    const sign = async (tenant: string): Promise<void> => {
      await provider.signDigest(digest, { ...calm, turn: { tenant, lane: {} } });
      done.push(tenant);
    };
    const greedy = Array.from({ length: 14 }, () => sign('greedy'));
    await Promise.all([sign('modest'), sign('modest')]);
    // 3 may start at once, then the tenants take turns
    expect(done.filter((tenant) => tenant === 'greedy').length).toBeLessThan(8);
    await Promise.all(greedy);
    await provider.close();
  });

  it('beyond the queue is refused at once, and the rest is served', async () => {
    const provider = await open(server, { keyId, concurrency: 1, maxQueued: 4 });
    const calls = await Promise.allSettled(
      Array.from({ length: 10 }, () => provider.signDigest(digest, calm)),
    );
    const codes = calls.map((call) =>
      call.status === 'fulfilled' ? 'served' : (call.reason as { code: string }).code,
    );
    expect(codes.slice(0, 5)).toEqual(Array(5).fill('served'));
    expect(codes.slice(5)).toEqual(Array(5).fill('PROVIDER_THROTTLED'));
    expect(server.requests['Sign']).toBe(5);
    await provider.close();
  });
});

describe('the caller’s signal', () => {
  it('ends a call under way as REQUEST_ABORTED, and the next call is served', async () => {
    const provider = await open(server, { keyId, concurrency: 1 });
    server.setFault('Sign', { kind: 'delay', ms: 60_000 }, 1);
    const abort = new AbortController();
    const call = provider.signDigest(digest, { signal: abort.signal });
    const next = provider.signDigest(digest, calm);
    await vi.waitFor(() => expect(server.requests['Sign']).toBe(1));
    abort.abort();
    await expect(call).rejects.toMatchObject({ code: 'REQUEST_ABORTED', retryable: false });
    await expect(next).resolves.toMatchObject({ encoding: 'der' });
    await provider.close();
  });

  it('ends a call as PROVIDER_TIMEOUT when the deadline has passed, also between attempts', async () => {
    const provider = await open(server, { keyId, maxAttempts: 10 });
    server.setFault('Sign', { kind: 'exception', name: 'KMSInternalException', status: 500 });
    await expect(
      provider.signDigest(digest, { signal: AbortSignal.timeout(100) }),
    ).rejects.toMatchObject({
      code: 'PROVIDER_TIMEOUT',
      message: `Sign on ${keyId}: the request's deadline has passed`,
      retryable: true,
    });
    expect(server.requests['Sign']).toBeLessThan(10);
    await provider.close();
  });

  it('that is aborted already keeps the request from being made', async () => {
    const provider = await open(server, { keyId });
    const signal = AbortSignal.abort();
    await expect(provider.signDigest(digest, { signal })).rejects.toMatchObject({
      code: 'REQUEST_ABORTED',
    });
    await expect(provider.checkHealth({ signal })).rejects.toMatchObject({
      code: 'REQUEST_ABORTED',
    });
    expect(server.requests).toEqual({ DescribeKey: 1, GetPublicKey: 1 });
    await provider.close();
  });

  it('takes a waiting call out of the queue', async () => {
    const provider = await open(server, { keyId, concurrency: 1, maxQueued: 1 });
    server.setFault('Sign', { kind: 'delay', ms: 100 }, 1);
    const first = provider.signDigest(digest, calm);
    const abort = new AbortController();
    const waiting = provider.signDigest(digest, { signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    await expect(provider.signDigest(digest, calm)).resolves.toMatchObject({ encoding: 'der' });
    await first;
    expect(server.requests['Sign']).toBe(2);
    await provider.close();
  });
});

it('connections are kept and used again', async () => {
  const provider = await open(server, { keyId, concurrency: 1 });
  for (let count = 0; count < 10; count += 1) await provider.signDigest(digest, calm);
  expect(server.connections).toBe(1);
  await provider.close();
});
