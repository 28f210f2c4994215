import { setTimeout as delay } from 'node:timers/promises';
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

  it('signs its tickets, its credentials and its state, and not one digest more', async () => {
    signer = await startTestSigner();
    signer.now = vectorTime;
    const first = await signer.post(vectors.endToEnd.cases[0]?.requestBody ?? '');
    expect(first.status).toBe(200);
    const { tickets, credentials, state } = digestsOfAnswer(first.text);
    expect(tickets).toHaveLength(3);
    const seen = signer.key.digests.map((digest) => toHex(digest));
    expect(seen.sort()).toEqual([...tickets, credentials, state].sort());

    signer.key.reset();
    signer.now = vectorTime + 5_000_000_000n;
    const answer = JSON.parse(first.text) as Answer;
    const next = await signer.post(
      JSON.stringify({
        ...(JSON.parse(vectors.endToEnd.cases[0]?.requestBody ?? '') as object),
        ManifestID: 'mid1',
        state: answer.state,
      }),
    );
    expect(next.status).toBe(200);
    const later = digestsOfAnswer(next.text);
    expect(later.tickets).toHaveLength(1);
    expect(later.tickets).not.toContain(tickets[0]);
    expect(signer.key.digests.map((digest) => toHex(digest)).sort()).toEqual(
      [...later.tickets, later.credentials, later.state].sort(),
    );
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
      // self-test and orchestrator info come first
      reply: (signature) =>
        replies++ === 2
          ? { encoding: 'raw', bytes: stringToBytes('garbage!') }
          : { encoding: 'raw', bytes: signature },
    });
    signer.now = vectorTime;
    const answer = await signer.post(vectors.endToEnd.cases[0]?.requestBody ?? '');
    expect(answer.status).toBe(503);
    await delay(200);
    // the first ticket's reply was spoiled; at most the call whose turn came in that moment was begun as well
    expect(signer.key.digests.length).toBeLessThanOrEqual(2);
  });
});
