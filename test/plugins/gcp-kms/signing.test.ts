import { status } from '@grpc/grpc-js';
import { secp256k1 } from '@noble/curves/secp256k1';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { FaultyLink } from '../../support/faulty-link.ts';
import {
  type GcpKmsWireServer,
  type KmsFaults,
  startGcpKmsWireServer,
} from '../../support/gcp-kms-wire-server.ts';
import { type LogLine, openKey, patient, recordingContext } from './open-key.ts';
import { createRandom } from '../../support/random.ts';

const digest = createRandom('digest for GCP KMS').bytes(32);

let server: GcpKmsWireServer;
let provider: KeyProvider;
let lines: LogLine[];

async function reopen(settings: Readonly<Record<string, unknown>>): Promise<void> {
  await provider.close();
  const context = recordingContext();
  lines = context.lines;
  provider = await openKey(server, settings, context);
}

beforeEach(async () => {
  server = await startGcpKmsWireServer();
  const context = recordingContext();
  lines = context.lines;
  provider = await openKey(server, {}, context);
});
afterEach(async () => {
  await provider.close();
  await server.close();
});

async function sign(signal = patient.signal) {
  const { encoding, bytes } = await provider.signDigest(digest, { signal });
  expect(encoding).toBe('der');
  return secp256k1.Signature.fromDER(bytes);
}

function isByTheKey(signature: ReturnType<typeof secp256k1.Signature.fromDER>): boolean {
  return secp256k1.verify(signature, digest, server.publicKey, { lowS: false });
}

function countSigning(): number {
  return server.requests.filter(({ method }) => method === 'asymmetricSign').length;
}

describe('signing with Cloud KMS', () => {
  it('signs the digest as it is', async () => {
    expect(isByTheKey(await sign())).toBe(true);
    expect(server.signCount).toBe(1);
  });

  it('signs many digests at once', async () => {
    const signatures = await Promise.all(Array.from({ length: 40 }, () => sign()));
    expect(signatures.every(isByTheKey)).toBe(true);
    expect(server.signCount).toBe(40);
  });

  it('refuses a digest of another size than 32 bytes as the service does', async () => {
    await expect(provider.signDigest(new Uint8Array(20), patient)).rejects.toMatchObject({
      code: 'PROVIDER_REPLY_INVALID',
    });
    expect(server.signCount).toBe(0);
  });

  it.each<[keyof KmsFaults, RegExp]>([
    ['wrongSignatureChecksum', /the signature does not match its checksum$/],
    ['digestNotVerified', /the digest's checksum was not verified$/],
    [
      'wrongName',
      /it is about .*\/17, not .*\/1; keyVersion must be spelled as Cloud KMS spells it/,
    ],
    ['emptyReply', /fields are missing or malformed$/],
  ])(
    'asks again after one reply with %s, and gives up after the second',
    async (fault, message) => {
      server.faults[fault] = 1;
      expect(isByTheKey(await sign())).toBe(true);
      expect(countSigning()).toBe(2);

      server.faults[fault] = Infinity;
      await expect(sign()).rejects.toMatchObject({
        name: 'ProviderError',
        code: 'PROVIDER_REPLY_INVALID',
        message: expect.stringMatching(message) as string,
        retryable: true,
      });
      expect(countSigning()).toBe(4);
    },
  );

  it.each<keyof KmsFaults>(['malformedDer', 'wrongKey', 'highS'])(
    'leaves a signature with %s to the gate, as it came',
    async (fault) => {
      server.faults[fault] = 1;
      const { encoding, bytes } = await provider.signDigest(digest, patient);
      expect(encoding).toBe('der');
      if (fault === 'malformedDer') {
        expect(Buffer.from(bytes).toString('hex')).toBe('3006020101020101ff');
      } else {
        const signature = secp256k1.Signature.fromDER(bytes);
        expect(isByTheKey(signature)).toBe(fault === 'highS');
        expect(signature.hasHighS()).toBe(fault === 'highS');
      }
      expect(countSigning()).toBe(1);
    },
  );

  it.each([
    ['RESOURCE_EXHAUSTED', 'PROVIDER_THROTTLED'],
    ['UNAVAILABLE', 'PROVIDER_UNAVAILABLE'],
    ['INTERNAL', 'PROVIDER_UNAVAILABLE'],
    ['ABORTED', 'PROVIDER_UNAVAILABLE'],
    ['DEADLINE_EXCEEDED', 'PROVIDER_TIMEOUT'],
  ] as const)('tries %s again, and reports it as %s in the end', async (name, code) => {
    server.failNext('asymmetricSign', status[name], status[name]);
    expect(isByTheKey(await sign())).toBe(true);
    expect(countSigning()).toBe(3);
    expect(lines.filter(({ message }) => message === 'Cloud KMS is asked again')).toEqual([
      {
        level: 'warn',
        message: 'Cloud KMS is asked again',
        fields: {
          operation: 'asymmetricSign',
          code,
          details: expect.stringContaining('made to fail') as string,
          times: 1,
        },
      },
    ]);

    server.failNext('asymmetricSign', status[name], status[name], status[name]);
    await expect(sign()).rejects.toMatchObject({ code, retryable: true });
    expect(countSigning()).toBe(6);
  });

  it.each([
    ['PERMISSION_DENIED', 'KEY_ACCESS_DENIED', /grant roles\/cloudkms\.signer/],
    ['NOT_FOUND', 'KEY_NOT_FOUND', /check project, location, key ring, key and version/],
    ['FAILED_PRECONDITION', 'KEY_UNSUITABLE', /enable it, or configure another one/],
    ['UNIMPLEMENTED', 'PROVIDER_UNAVAILABLE', /see the details/],
    ['UNKNOWN', 'PROVIDER_UNAVAILABLE', /see the details/],
    ['DATA_LOSS', 'PROVIDER_UNAVAILABLE', /see the details/],
  ] as const)('does not repeat %s, and reports it as %s', async (name, code, message) => {
    server.failNext('asymmetricSign', status[name]);
    await expect(sign()).rejects.toMatchObject({
      name: 'ProviderError',
      code,
      message: expect.stringMatching(message) as string,
      details: expect.stringContaining('made to fail') as string,
      retryable: false,
    });
    expect(countSigning()).toBe(1);
  });

  it('repeats UNAUTHENTICATED once, since a token may expire on its way', async () => {
    server.failNext('asymmetricSign', status.UNAUTHENTICATED);
    await sign();
    expect(countSigning()).toBe(2);

    server.failNext('asymmetricSign', status.UNAUTHENTICATED, status.UNAUTHENTICATED);
    await expect(sign()).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
      message: expect.stringContaining('renew the Application Default Credentials') as string,
    });
    expect(countSigning()).toBe(4);
  });

  it('keeps the words of the service out of the message', async () => {
    server.failNext('asymmetricSign', status.PERMISSION_DENIED);
    await expect(sign()).rejects.toMatchObject({
      message: expect.not.stringContaining('made to fail') as string,
    });
  });

  it('repeats a digest that the service found damaged, once', async () => {
    server.failNext('asymmetricSign', status.INVALID_ARGUMENT);
    expect(isByTheKey(await sign())).toBe(true);
    server.failNext('asymmetricSign', status.INVALID_ARGUMENT, status.INVALID_ARGUMENT);
    await expect(sign()).rejects.toMatchObject({ code: 'PROVIDER_REPLY_INVALID' });
    expect(countSigning()).toBe(4);
  });

  it('makes no more attempts than it is told to', async () => {
    await reopen({ maxAttempts: 1 });
    server.failNext('asymmetricSign', status.UNAVAILABLE);
    await expect(sign()).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    expect(countSigning()).toBe(1);
  });

  it('reconnects and signs after all connections were cut', async () => {
    server.dropConnections();
    expect(isByTheKey(await sign())).toBe(true);
  });

  it('signs again when the connection is cut before the answer', async () => {
    server.faults.dropConnection = 1;
    expect(isByTheKey(await sign())).toBe(true);
    expect(server.signCount).toBe(2);
  });
});

describe('throttling by Cloud KMS', () => {
  it('gets a burst through while a third of the calls is throttled', async () => {
    await reopen({ maxAttempts: 8 });
    server.throttledShare = 1 / 3;
    const signatures = await Promise.all(Array.from({ length: 60 }, () => sign()));
    expect(signatures.every(isByTheKey)).toBe(true);
    expect(server.signCount).toBe(60);
    expect(countSigning()).toBeGreaterThan(80);
  });

  it('reports PROVIDER_THROTTLED when every attempt is throttled, and signs nothing', async () => {
    server.throttledShare = 1;
    await expect(sign()).rejects.toMatchObject({ code: 'PROVIDER_THROTTLED', retryable: true });
    expect(countSigning()).toBe(3);
    expect(server.signCount).toBe(0);
  });

  it('keeps to its own rate, retries counted', async () => {
    await reopen({ requestsPerSecond: 20, maxAttempts: 8 });
    server.throttledShare = 0.25;
    await Promise.all(Array.from({ length: 36 }, () => sign()));
    const startsMs = server.requests
      .filter(({ method }) => method === 'asymmetricSign')
      .map(({ atMs }) => atMs);
    const mostInOneSecond = Math.max(
      ...startsMs.map((from) => startsMs.filter((at) => at >= from && at < from + 1000).length),
    );
    expect(startsMs.length).toBeGreaterThan(45);
    // Some more than the rate, because these are arrivals: the way here may take longer for one call than for the next.
    expect(mostInOneSecond).toBeLessThanOrEqual(25);
  });

  it('does not keep one tenant waiting behind all calls of another', async () => {
    await reopen({ requestsPerSecond: 30, concurrency: 16 });
    const done: string[] = [];
    const signFor = async (tenant: string): Promise<void> => {
      await provider.signDigest(digest, { ...patient, turn: { tenant, lane: {} } });
      done.push(tenant);
    };
    const greedy = Array.from({ length: 14 }, () => signFor('greedy'));
    await Promise.all([signFor('modest'), signFor('modest')]);
    // 3 may start at once, then the tenants take turns
    expect(done.filter((tenant) => tenant === 'greedy').length).toBeLessThan(8);
    await Promise.all(greedy);
  });

  it('refuses calls at once when too many wait, without a request', async () => {
    await reopen({ concurrency: 1, maxQueued: 1, attemptTimeoutMs: 60_000 });
    server.delayMs = 100;
    const results = await Promise.allSettled([sign(), sign(), sign()]);
    expect(results.map(({ status: outcome }) => outcome)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
    ]);
    expect(results[2]).toMatchObject({ reason: { code: 'PROVIDER_THROTTLED', retryable: true } });
    expect(countSigning()).toBe(2);
  });
});

describe('deadlines and aborts of Cloud KMS calls', () => {
  it('ends each attempt at its own deadline, and tries again', async () => {
    await reopen({ attemptTimeoutMs: 2000, maxAttempts: 2 });
    // longer than this test may take
    server.delayMs = 600_000;
    await expect(sign()).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT', retryable: true });
    expect(countSigning()).toBe(2);
  });

  it('succeeds at the second attempt when only the first one was slow', async () => {
    await reopen({ attemptTimeoutMs: 2000, maxAttempts: 10 });
    server.delayMs = 600_000;
    const signing = sign();
    await expect.poll(countSigning).toBe(1);
    server.delayMs = 0;
    expect(isByTheKey(await signing)).toBe(true);
  });

  it('cancels the request at the service when its caller aborts, and does not repeat it', async () => {
    await reopen({ attemptTimeoutMs: 60_000 });
    server.delayMs = 600_000;
    const caller = new AbortController();
    const signing = sign(caller.signal);
    await expect.poll(countSigning).toBe(1);
    caller.abort();
    await expect(signing).rejects.toMatchObject({ name: 'ProviderError', code: 'REQUEST_ABORTED' });
    await expect.poll(() => server.cancelledCount).toBe(1);
    expect(countSigning()).toBe(1);
  });

  it('reports a passed deadline of the caller as PROVIDER_TIMEOUT', async () => {
    await reopen({ attemptTimeoutMs: 60_000 });
    server.delayMs = 600_000;
    await expect(sign(AbortSignal.timeout(100))).rejects.toMatchObject({
      code: 'PROVIDER_TIMEOUT',
      retryable: true,
    });
  });

  it('makes no request for a caller who has gone already', async () => {
    await expect(sign(AbortSignal.abort())).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    await expect(provider.getPublicKey({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'REQUEST_ABORTED',
    });
    expect(countSigning()).toBe(0);
  });

  it('stops between two attempts when its caller aborts', async () => {
    await reopen({ maxAttempts: 10 });
    server.failNext('asymmetricSign', ...Array<status>(10).fill(status.UNAVAILABLE));
    const caller = new AbortController();
    const signing = sign(caller.signal);
    await expect.poll(countSigning).toBeGreaterThanOrEqual(3);
    caller.abort();
    await expect(signing).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    const made = countSigning();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(countSigning()).toBe(made);
  });
});

describe('closing a Cloud KMS key', () => {
  it('rejects calls under way and calls in the queue as PROVIDER_CLOSED', async () => {
    await reopen({ concurrency: 1, attemptTimeoutMs: 60_000 });
    server.delayMs = 600_000;
    const signing = Promise.allSettled([sign(), sign()]);
    await expect.poll(countSigning).toBe(1);
    await provider.close();
    expect(await signing).toEqual([
      expect.objectContaining({
        reason: expect.objectContaining({ code: 'PROVIDER_CLOSED' }) as object,
      }),
      expect.objectContaining({
        reason: expect.objectContaining({ code: 'PROVIDER_CLOSED' }) as object,
      }),
    ]);
    await expect.poll(() => server.cancelledCount).toBe(1);
  });

  it('may be done twice, and refuses every call afterwards without a request', async () => {
    await provider.close();
    await provider.close();
    const made = server.requests.length;
    const closed = { code: 'PROVIDER_CLOSED' };
    await expect(sign()).rejects.toMatchObject(closed);
    await expect(provider.getPublicKey(patient)).rejects.toMatchObject(closed);
    await expect(provider.checkHealth?.(patient)).rejects.toMatchObject(closed);
    await expect(provider.describeKey?.(patient)).rejects.toMatchObject(closed);
    expect(server.requests.length).toBe(made);
  });

  it('lets the same key be opened again', async () => {
    await reopen({});
    expect(isByTheKey(await sign())).toBe(true);
  });
});

describe('a connection that was forgotten on the way', () => {
  async function reopenThroughLink(settings: Readonly<Record<string, unknown>>) {
    const link = await FaultyLink.open(Number(server.endpoint.split(':')[1]));
    onTestFinished(() => link.close());
    await reopen({ endpoint: `localhost:${link.port}`, ...settings });
    await sign();
    return {
      forget: async () => {
        await link.set('silent');
        await link.set('up');
      },
    };
  }

  it('is replaced after an attempt without an answer', async () => {
    const { forget } = await reopenThroughLink({ attemptTimeoutMs: 200 });
    await forget();
    expect(isByTheKey(await sign())).toBe(true);
  });

  it('is replaced when callers give up sooner than an attempt does', async () => {
    const { forget } = await reopenThroughLink({ attemptTimeoutMs: 2_000 });
    await forget();
    const impatient = (): Promise<unknown> => sign(AbortSignal.timeout(1_500));
    await expect(impatient()).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
    await expect(impatient()).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
    await expect(impatient()).resolves.toBeDefined();
  });
});
