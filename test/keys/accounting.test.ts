import { stringToBytes, toHex } from 'viem';
import { afterEach, describe, expect, it } from 'vitest';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { type Answer, digestsOfAnswer } from './answer-digests.ts';

/** 2026-04-07T20:00:00Z, at which the vectors' bodies are good. */
const vectorTime = BigInt(Date.UTC(2026, 3, 7, 20)) * 1_000_000n;

describe('the key over one payment', () => {
  let signer: TestSigner | undefined;
  afterEach(() => signer?.close());

  it.each([
    ['delegated', 'its tickets, and its credentials where the manifest id is new'],
    ['key', 'the same and the state'],
  ])('signs, with the seal %s, %s, and not one digest more', async (seal) => {
    signer = await startTestSigner({ settings: { session: { seal } } });
    const key = signer.key;
    const expectSigned = (...digests: string[]) => {
      expect(key.digests.map((digest) => toHex(digest)).sort()).toEqual(digests.sort());
      key.reset();
    };
    const sealOf = (state: string) => (seal === 'key' ? [state] : []);
    signer.now = vectorTime;
    const first = await signer.post(vectors.endToEnd.cases[0]?.requestBody ?? '');
    expect(first.status).toBe(200);
    const { tickets, credentials, state } = digestsOfAnswer(first.text);
    expect(tickets).toHaveLength(3);
    expectSigned(...tickets, credentials, ...sealOf(state));

    signer.now = vectorTime + 5_000_000_000n;
    const answer = JSON.parse(first.text) as Answer;
    const continued = async ({ state: given }: Answer) =>
      signer?.post(
        JSON.stringify({
          ...(JSON.parse(vectors.endToEnd.cases[0]?.requestBody ?? '') as object),
          ManifestID: 'mid1',
          state: given,
        }),
      );
    const next = await continued(answer);
    expect(next?.status).toBe(200);
    const later = digestsOfAnswer(next?.text ?? '');
    expect(later.tickets).toHaveLength(1);
    expect(later.tickets).not.toContain(tickets[0]);
    expectSigned(...later.tickets, later.credentials, ...sealOf(later.state));

    signer.now = vectorTime + 65_000_000_000n;
    const third = await continued(JSON.parse(next?.text ?? '') as Answer);
    expect(third?.status).toBe(200);
    const last = digestsOfAnswer(third?.text ?? '');
    expect(last.tickets.length).toBeGreaterThan(0);
    expectSigned(...last.tickets, ...sealOf(last.state));
    expect(last.credentials).toBe(later.credentials);
    expect(last.credentialsSig).toEqual(later.credentialsSig);
  });

  it('is not used by sign-orchestrator-info, refusals, or anything else over HTTP', async () => {
    signer = await startTestSigner();
    signer.now = vectorTime;
    const { url, key } = signer;
    const digest = Buffer.alloc(32, 7).toString('base64');
    for (const [method, path, body] of [
      ['POST', '/sign-orchestrator-info', digest],
      ['POST', '/sign', digest],
      ['POST', '/sign-digest', JSON.stringify({ digest })],
      ['POST', '/generate-live-payment', JSON.stringify({ digest, orchestrator: digest })],
      ['GET', '/generate-live-payment', undefined],
      ['GET', '/healthz', undefined],
    ] as const) {
      const response = await fetch(`${url}${path}`, { method, ...(body && { body }) });
      await response.text();
    }
    expect(key.digests).toHaveLength(0);
  });

  it.each([104, 168])(
    'is not used for a manifest id of %i bytes, whose credentials would have a ticket’s length',
    async (length) => {
      signer = await startTestSigner();
      signer.now = vectorTime;
      const body = JSON.parse(vectors.endToEnd.cases[0]?.requestBody ?? '') as object;
      const post = (manifestId: string) =>
        signer?.post(JSON.stringify({ ...body, ManifestID: manifestId }));
      const answer = await post('m'.repeat(length));
      expect(answer?.status).toBe(400);
      expect(answer?.text).toBe(
        `{"error":{"message":"manifestID must not have ${length} bytes"}}\n`,
      );
      expect(signer.logLines.at(-1)).toMatchObject({ code: 'MANIFEST_ID_INVALID' });
      expect(signer.key.digests).toHaveLength(0);
      expect((await post('m'.repeat(length - 1)))?.status).toBe(200);
      expect((await post('m'.repeat(length + 1)))?.status).toBe(200);
    },
  );

  it('stops being asked when one signature of the payment has failed', async () => {
    let replies = 0;
    signer = await startTestSigner({
      concurrency: 1,
      delayMs: 10,
      // self-test, orchestrator info and delegation come first
      reply: (signature) =>
        replies++ === 3
          ? { encoding: 'raw', bytes: stringToBytes('garbage!') }
          : { encoding: 'raw', bytes: signature },
    });
    signer.now = vectorTime;
    const answer = await signer.post(vectors.endToEnd.cases[0]?.requestBody ?? '');
    expect(answer.status).toBe(503);
    // whatever was left of it would be signed along with the next payments
    const counts = [];
    for (let payment = 0; payment < 2; payment += 1) {
      expect((await signer.post(vectors.endToEnd.cases[0]?.requestBody ?? '')).status).toBe(200);
      counts.push(signer.key.digests.length);
    }
    const [next = 0, last = 0] = counts;
    // the first ticket's reply was spoiled; at most the call whose turn came in that moment was begun as well
    expect(next - (last - next)).toBeLessThanOrEqual(2);
  });
});
