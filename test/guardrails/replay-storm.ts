import { secp256k1 } from '@noble/curves/secp256k1';
import { describe, expect, it } from 'vitest';
import { Connection } from '../bench/connection.ts';
import { expectPaid } from '../payments/expectations.ts';
import { startRedisServer } from '../support/redis-server.ts';
import { vectors } from '../vectors/vectors.ts';
import {
  type GuardedOptions,
  type GuardedSigner,
  firstPayment,
  nextPayment,
  startGuardedSigner,
} from './guarded-signer.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('nonces of the key');

/** Tickets in the payment that is asked for again and again. */
const tickets = 3;

const privateKey = vectors.key.privateKey.slice(2);

/** A KMS: it takes its time, and draws another signature each time it is asked. */
const kms = {
  delayMs: 50,
  reply: (_signature: Uint8Array, digest: Uint8Array) => ({
    encoding: 'raw' as const,
    bytes: secp256k1
      .sign(digest, privateKey, { extraEntropy: random.bytes(32) })
      .toCompactRawBytes(),
  }),
};

/** Requests that are under way at the same time, each on a connection of its own. */
const connectionCount = 200;

/**
 * Sends one request `total` times over 200 connections, spread over as many signers as there are options, and expects the key
 * to be asked for one set of signatures, and all answers to be the same, byte for byte.
 */
async function expectOneAnswer(total: number, instances: readonly GuardedOptions[]): Promise<void> {
  const signers: GuardedSigner[] = [];
  const connections: Connection[] = [];
  try {
    for (const options of instances) {
      signers.push(await startGuardedSigner({ ...kms, ...options }));
    }
    const [signer = expect.unreachable('there is no signer')] = signers;
    const { sealed } = expectPaid(await signer.post(await firstPayment(1)));
    const body = await nextPayment(sealed, tickets);
    for (const { key } of signers) key.reset();
    const urls = signers.map(({ url }) => url);
    for (let index = 0; index < connectionCount; index += 1) {
      connections.push(await Connection.open(urls[index % urls.length] ?? ''));
    }

    const answers = new Map<string, number>();
    let left = total;
    const client = async (connection: Connection): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const { status, text } = await connection.post('/generate-live-payment', body);
        const answer = `${status} ${text}`;
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
      }
    };
    await Promise.all(connections.map(client));

    expect([...answers.values()]).toEqual([total]);
    expect([...answers.keys()][0]).toMatch(/^200 \{"payment":/);
    const digests = signers.flatMap(({ key }) => key.digests);
    expect(digests).toHaveLength(tickets);
    const repeated = signers
      .flatMap(({ logLines }) => logLines)
      .filter(({ msg }) => msg === 'answer repeated');
    expect(repeated).toHaveLength(total - 1);
  } finally {
    for (const connection of connections) connection.close();
    await Promise.all(signers.map((signer) => signer.close()));
  }
}

/** One state, sent `total` times at once to one signer, and to two that share a Redis. */
export function describeReplayStorm(total: number): void {
  describe(`one state sent ${total} times at once`, () => {
    it('is signed for once, and answered alike each time, by one instance', async () => {
      await expectOneAnswer(total, [{}]);
    });

    it('is signed for once, and answered alike each time, by two instances with one Redis', async () => {
      await using redis = await startRedisServer();
      const settings = { store: { kind: 'redis', url: redis.url } };
      await expectOneAnswer(total, [{ settings }, { settings }]);
    });
  });
}
