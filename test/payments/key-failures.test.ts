import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { ProviderError, type ProviderSignature } from '../../src/keys/provider.ts';
import { curveOrder } from '../../src/keys/scalars.ts';
import { encodeDerSignature } from '../../src/keys/signature.ts';
import { bytesToUint, uintToBytes32 } from '../../src/pm/bytes.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { expectError, expectPaid, masked500, masked503 } from './expectations.ts';
import { buildRequest, usualNow } from './request-builder.ts';

type Reply = (signature: Uint8Array, digest: Uint8Array) => ProviderSignature;

const raw = (bytes: Uint8Array): ProviderSignature => ({ encoding: 'raw', bytes });
const der = (bytes: Uint8Array): ProviderSignature => ({ encoding: 'der', bytes });
const split = (signature: Uint8Array) => ({
  r: bytesToUint(signature.subarray(0, 32)),
  s: bytesToUint(signature.subarray(32)),
});
const join = (r: bigint, s: bigint) => Buffer.concat([uintToBytes32(r), uintToBytes32(s)]);
const honest: Reply = (signature) => raw(signature);
const ownKey = Uint8Array.from(Buffer.from(vectors.key.privateKey.slice(2), 'hex'));
const otherKey = Uint8Array.from(Buffer.from('11'.repeat(32), 'hex'));

describe('a payment whose key fails', () => {
  let signer: TestSigner;
  let reply: Reply = honest;
  beforeAll(async () => {
    signer = await startTestSigner({ reply: (signature, digest) => reply(signature, digest) });
    signer.now = usualNow;
  });
  beforeEach(() => {
    reply = honest;
    signer.key.reset();
    signer.logLines.length = 0;
  });
  afterAll(() => signer.close());

  const fail = (code: ProviderError['code']): Reply => {
    return () => {
      throw new ProviderError(code, 'the vendor said: token 12345 of arn:aws:kms:x is gone');
    };
  };
  const otherDigest = new Uint8Array(32).fill(7);
  const secp256k1 = chooseSecp256k1();
  // prettier-ignore
  const failures: readonly [when: string, code: string, reply: Reply][] = [
    ['can’t be reached', 'PROVIDER_UNAVAILABLE', fail('PROVIDER_UNAVAILABLE')],
    ['throttles', 'PROVIDER_THROTTLED', fail('PROVIDER_THROTTLED')],
    ['times out', 'PROVIDER_TIMEOUT', fail('PROVIDER_TIMEOUT')],
    ['is closed', 'PROVIDER_CLOSED', fail('PROVIDER_CLOSED')],
    ['denies access', 'KEY_ACCESS_DENIED', fail('KEY_ACCESS_DENIED')],
    ['has lost the key', 'KEY_NOT_FOUND', fail('KEY_NOT_FOUND')],
    ['signs with another key', 'PROVIDER_REPLY_INVALID', (_signature, digest) => raw(secp256k1.sign(digest, otherKey).bytes)],
    ['signs another digest', 'PROVIDER_REPLY_INVALID', () => raw(secp256k1.sign(otherDigest, ownKey).bytes)],
    ['answers garbage as DER', 'PROVIDER_REPLY_INVALID', () => der(Buffer.from('garbage'))],
    ['answers nothing as DER', 'PROVIDER_REPLY_INVALID', () => der(Buffer.of())],
    ['answers DER with a byte behind it', 'PROVIDER_REPLY_INVALID', (signature) => der(Buffer.concat([encodeDerSignature(split(signature)), Buffer.of(0)]))],
    ['answers DER that is cut', 'PROVIDER_REPLY_INVALID', (signature) => der(encodeDerSignature(split(signature)).subarray(0, -1))],
    ['answers a raw signature as DER', 'PROVIDER_REPLY_INVALID', (signature) => der(signature)],
    ['answers nothing', 'PROVIDER_REPLY_INVALID', () => raw(Buffer.of())],
    ['answers 65 bytes', 'PROVIDER_REPLY_INVALID', (signature) => raw(Buffer.concat([signature, Buffer.of(27)]))],
    ['answers r = 0', 'PROVIDER_REPLY_INVALID', (signature) => raw(join(0n, split(signature).s))],
    ['answers s = 0', 'PROVIDER_REPLY_INVALID', (signature) => raw(join(split(signature).r, 0n))],
    ['answers r = n', 'PROVIDER_REPLY_INVALID', (signature) => raw(join(curveOrder, split(signature).s))],
    ['answers s = n', 'PROVIDER_REPLY_INVALID', (signature) => raw(join(split(signature).r, curveOrder))],
    ['answers r and s in the other order', 'PROVIDER_REPLY_INVALID', (signature) => raw(join(split(signature).s, split(signature).r))],
  ];
  it.each(failures)(
    'answers 503, masked, when the device %s, and serves on',
    async (_when, code, broken) => {
      reply = broken;
      const answer = await signer.post(await buildRequest());
      expectError(answer, 503, masked503);
      expect(signer.key.digests.length).toBeGreaterThan(0);
      expect(signer.logLines).toEqual([
        expect.objectContaining({ status: 503, code, msg: 'request failed' }),
      ]);

      reply = honest;
      expectPaid(await signer.post(await buildRequest()));
    },
  );

  it.each([0, 1, 2])('gives nothing away when only signature %i of 3 fails', async (failing) => {
    let count = 0;
    reply = (signature, digest) =>
      count++ === failing ? fail('PROVIDER_UNAVAILABLE')(signature, digest) : raw(signature);
    expectError(await signer.post(await buildRequest()), 503, masked503);
  });

  it('answers 500, masked, when a plugin throws what it must not', async () => {
    reply = () => {
      throw new TypeError('undefined is not a function');
    };
    expectError(await signer.post(await buildRequest()), 500, masked500);
    expect(signer.logLines[0]).toMatchObject({ status: 500, code: 'INTERNAL', msg: 'defect' });
  });

  // prettier-ignore
  const highS: readonly [as: string, reply: Reply][] = [
    ['raw', (signature) => raw(join(split(signature).r, curveOrder - split(signature).s))],
    ['DER', (signature) => der(encodeDerSignature({ r: split(signature).r, s: curveOrder - split(signature).s }))],
  ];
  it.each(highS)(
    'pays with a low s when the device answers a high one as %s',
    async (_as, high) => {
      const expected = await signer.post(await buildRequest());
      reply = high;
      const answer = await signer.post(await buildRequest());
      expectPaid(answer);
      expect(answer.text).toBe(expected.text);
    },
  );

  it('pays when the device answers low s as DER', async () => {
    const expected = await signer.post(await buildRequest());
    reply = (signature) => der(encodeDerSignature(split(signature)));
    expect((await signer.post(await buildRequest())).text).toBe(expected.text);
  });
});

describe('a payment whose key never answers', () => {
  const never = Promise.withResolvers<ProviderSignature>();
  let signer: TestSigner;
  let isSilent = false;
  beforeAll(async () => {
    signer = await startTestSigner({
      settings: { server: { listen: '127.0.0.1:0', requestDeadlineMs: 3_000 } },
      reply: (signature) => (isSilent ? never.promise : raw(signature)),
    });
    signer.now = usualNow;
  });
  afterAll(async () => {
    never.reject(new ProviderError('PROVIDER_CLOSED', 'closed'));
    await signer.close();
  });

  it('is answered with 503 at the request’s deadline, and later ones are served', async () => {
    isSilent = true;
    const startedAt = performance.now();
    expectError(await signer.post(await buildRequest()), 503, masked503);
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(2_900);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'PROVIDER_TIMEOUT' });

    isSilent = false;
    expectPaid(await signer.post(await buildRequest()));
  });
});
