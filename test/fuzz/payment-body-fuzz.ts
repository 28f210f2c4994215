import { Agent, request } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Hex, hexToBytes } from 'viem';
import { loadNativeRecover } from '../../src/keys/secp256k1.ts';
import { parseGoTime } from '../../src/wire/go-time.ts';
import { type Answer, digestsOfAnswer } from '../keys/answer-digests.ts';
import { never, openTestProvider } from '../keys/open-test-gate.ts';
import { toHex } from '../../src/pm/bytes.ts';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { type Members, generateBody, membersOf } from './generate-body.ts';
import { judgeBody } from './judge-body.ts';
import { createRandom, testSeed } from '../support/random.ts';

/** What a run came to; throws instead when a body was not treated as it must be. */
export type FuzzReport = {
  readonly bodies: number;
  /** answers by status */
  readonly statuses: Readonly<Record<number, number>>;
  readonly keyCalls: number;
  /** signatures given out again, to bodies that mean the same and were under way at once */
  readonly shared: number;
  readonly tickets: number;
  /** how many of the answers needed their segment credentials signed */
  readonly credentials: number;
  /** ten times on the way and at the end, garbage collected; the first is after a tenth of the bodies */
  readonly memory: readonly MemorySample[];
};

/** MiB */
export type MemorySample = {
  /** JavaScript objects, and the buffers that they hold */
  readonly heap: number;
  readonly external: number;
  /** all of the process, what the allocators keep for later included */
  readonly resident: number;
};

type Reply = { readonly status: number; readonly text: string };

const recover = loadNativeRecover();

const connections = 8;
/** Sessions that answers have opened and that further bodies are made from. */
const maxPool = 64;

const good = vectors.endToEnd.cases.filter(({ status }) => status === 200);
const times = good.map(({ now }) => {
  const time = parseGoTime(now);
  if (typeof time !== 'bigint') throw new Error(`${now} is no time`);
  return time;
});

/** Names the body that went wrong, so that it can be made a test of its own. */
class FuzzFailure extends Error {
  constructor(what: string, index: number, now: bigint, body: Uint8Array) {
    super(
      `${what}\nseed ${testSeed}, body ${index}, now ${now.toString()}n, base64:\n` +
        Buffer.from(body).toString('base64'),
    );
  }
}

/**
 * Sends generated bodies to a running signer over several kept-alive connections. Every answer must be below 500, the same
 * as an independent judgement of the body, and the key must have signed exactly the tickets of the 200s, and the credentials
 * of those whose session did not carry them: once for each answer, or once for answers that are the same.
 */
export async function fuzzPaymentBodies(bodies: number): Promise<FuzzReport> {
  const signer = await startTestSigner();
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  try {
    return await run(signer, agent, bodies);
  } finally {
    agent.destroy();
    await signer.close();
  }
}

async function run(signer: TestSigner, agent: Agent, bodies: number): Promise<FuzzReport> {
  const random = createRandom('payment bodies');
  const [first, ...others] = good.map(({ requestBody }) => membersOf(requestBody));
  if (!first) throw new Error('the vectors hold no payment');
  const pool: [Members, ...Members[]] = [first, ...others];
  const basePool = pool.length;
  const { provider } = await openTestProvider();
  const publicKey = await provider.getPublicKey({ signal: never });
  const statuses: Record<number, number> = {};
  let keyCalls = 0;
  let shared = 0;
  let tickets = 0;
  let credentials = 0;
  const memory: MemorySample[] = [];

  for (let sent = 0; sent < bodies; sent += connections) {
    if (sent >= ((memory.length + 1) * bodies) / 10) memory.push(measureMemory());
    const now = (times[random.int(times.length)] ?? 0n) + BigInt(random.int(20)) * 10n ** 9n;
    signer.now = now;
    signer.key.reset();
    signer.logLines.length = 0;
    const batch = Array.from({ length: Math.min(connections, bodies - sent) }, () =>
      generateBody(random, pool),
    );
    const replies = await Promise.all(batch.map((body) => post(agent, signer.url, body)));
    const calls = countEach(signer.key.digests.map((digest) => toHex(digest)));
    const given: string[] = [];
    for (const [index, body] of batch.entries()) {
      const fail = (what: string) => new FuzzFailure(what, sent + index, now, body);
      const { status, text } = replies[index] ?? { status: 0, text: '' };
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (status < 200 || status >= 500) throw fail(`answered with ${status} ${text}`);
      const judgement = judgeBody(body, {
        now,
        publicKey,
        l1Block: BigInt(vectorChain.l1Block),
        deposit: BigInt(vectors.endToEnd.chain.deposit),
      });
      if (status !== 200) {
        if ('tickets' in judgement) throw fail(`answered with ${status} ${text}, yet it is valid`);
        continue;
      }
      if ('reason' in judgement) throw fail(`answered with 200, yet it has ${judgement.reason}`);
      const digests = digestsOfAnswer(text);
      if (BigInt(digests.tickets.length) !== judgement.tickets) {
        throw fail(`${digests.tickets.length} tickets, not ${judgement.tickets.toString()}`);
      }
      const isSigned = judgement.carriesCredentials ? [] : [digests.credentials];
      for (const digest of [...digests.tickets, ...isSigned]) {
        if (!calls.has(digest)) throw fail('an answer that the key did not sign');
        given.push(digest);
      }
      if (!isSignedBy(publicKey, digests.credentials, digests.credentialsSig)) {
        throw fail('credentials that are not signed');
      }
      tickets += digests.tickets.length;
      credentials += isSigned.length;
      keepSession(pool, basePool, body, JSON.parse(text) as Answer, random.int(maxPool));
    }
    const answers = countEach(given);
    for (const [digest, times] of calls) {
      // one call each, but for bodies that mean the same and are under way at once: they may share one
      const answered = answers.get(digest) ?? 0;
      if (times > answered) {
        const [body = new Uint8Array()] = batch;
        const what = `${times} key calls for ${answered} signatures of ${digest} in this batch`;
        throw new FuzzFailure(what, sent, now, body);
      }
      keyCalls += times;
      shared += answered - times;
    }
  }
  memory.push(measureMemory());
  return { bodies, statuses, keyCalls, shared, tickets, credentials, memory };
}

function countEach(digests: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const digest of digests) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  return counts;
}

function isSignedBy(publicKey: Uint8Array, digest: string, signature: Uint8Array): boolean {
  const recoveryId = signature[64] === 27 ? 0 : 1;
  const recovered = recover(hexToBytes(digest as Hex), signature.subarray(0, 64), recoveryId);
  return recovered !== undefined && Buffer.compare(recovered, publicKey) === 0;
}

/** Keeps the session that a plain body has opened or continued, for later bodies. */
function keepSession(
  pool: [Members, ...Members[]],
  basePool: number,
  body: Uint8Array,
  { state }: Answer,
  slot: number,
): void {
  let members: Members;
  try {
    members = membersOf(Buffer.from(body).toString('utf8'));
  } catch {
    return;
  }
  const plain = members.filter(([key]) => key !== 'state' && key !== 'ManifestID');
  pool[basePool + slot < pool.length ? basePool + slot : pool.length] = [
    ...plain,
    ['ManifestID', '"mid1"'],
    ['state', JSON.stringify(state)],
  ];
  if (pool.length > basePool + maxPool) pool.length = basePool + maxPool;
}

function post(agent: Agent, url: string, body: Uint8Array): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${url}/generate-live-payment`,
      // an orchestrator's URL comes back in a header, however long it is
      { method: 'POST', agent, maxHeaderSize: 1 << 20, headers: { 'Content-Length': body.length } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function measureMemory(): MemorySample {
  collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  const toMiB = (bytes: number) => Math.round(bytes / 2 ** 20);
  return { heap: toMiB(heapUsed), external: toMiB(external), resident: toMiB(rss) };
}
