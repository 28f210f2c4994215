import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checksum } from 'ox/Address';
import { pino } from 'pino';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { type RunningSigner, startSigner } from '../../src/main.ts';
import { randomId } from '../../src/random-id.ts';
import { toHex } from '../../src/pm/bytes.ts';
import { GatewaySession } from '../gateway/gateway-session.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { firstPayment } from '../guardrails/guarded-signer.ts';
import { type SandboxServer, startSandboxServer } from '../sandbox-orchestrator/server.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { type TestKey, createTestKey } from '../support/test-key.ts';
import { vectorChain } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { createRandom } from '../support/random.ts';
import { usualNow } from './request-builder.ts';

const random = createRandom('key rotation');

const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';

/** Signers with other keys, one after the other, behind one address. */
class Door {
  readonly #sockets = new Set<net.Socket>();
  #port = 0;
  readonly #server = net.createServer((client) => {
    const upstream = net.connect(this.#port, '127.0.0.1');
    this.#sockets.add(client);
    client.once('close', () => this.#sockets.delete(client));
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  leadTo(signer: RunningSigner): void {
    this.#port = Number(new URL(signer.url).port);
  }

  /** Resolves when no client is connected any more. */
  async emptied(): Promise<void> {
    await Promise.all([...this.#sockets].map((socket) => once(socket, 'close')));
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

// signer and orchestrator bill by it: a second a round, however long the machine takes
let nowNs: bigint;
const now = () => nowNs;

function start(
  keys: readonly { key: TestKey; isRetiring: boolean }[],
  sections: object = {},
): Promise<RunningSigner> {
  const configs = keys.map(({ key, isRetiring }, index): KeyConfig => ({
    name: `keys.${index}:test-key`,
    plugin: key.plugin,
    section: {},
    generateIfMissing: false,
    isRetiring,
  }));
  const [first, ...others] = configs;
  if (!first) throw new Error('no key');
  const settings = configSchema.parse({
    server: { listen: '127.0.0.1:0' },
    keys: keys.map(({ isRetiring }) => ({ provider: 'test-key', retiring: isRetiring })),
    chain: vectorChain,
    ...sections,
  });
  const config = {
    settings,
    keys: [first, ...others] as const,
    resolvePath: (path: string) => path,
  };
  const sources = { now, sealNow: now, elapsedMs: () => performance.now(), randomId };
  return startSigner(config, pino({ level: 'silent' }), sources);
}

describe('a signer with an active and a retiring key', () => {
  const oldKey = createTestKey(`0x${'0a'.repeat(32)}`);
  const newKey = createTestKey(`0x${'0b'.repeat(32)}`);
  let door: Door;
  let signerUrl: string;
  let orchestrator: SandboxServer;
  let signer: RunningSigner | undefined;

  beforeEach(async () => {
    nowNs = BigInt(Date.now()) * 1_000_000n;
    door = new Door();
    signerUrl = await door.open();
    const { chain } = vectors.endToEnd;
    const world = new SandboxWorld(now, {
      l1Block: BigInt(chain.lastSeenL1Block),
      round: BigInt(chain.lastInitializedRound),
      roundBlockHash: Buffer.from(chain.lastInitializedL1BlockHash.slice(2), 'hex'),
      activeOrchestrators: new Set([recipient]),
    });
    orchestrator = await startSandboxServer({
      host: '127.0.0.1',
      port: 0,
      world,
      config: {
        paymentType: 'live',
        address: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
        recipient,
        pricePerUnit: 1_000_000n,
        pixelsPerUnit: 1n,
        ticketEvWei: 1_000_000n,
        faceValueWei: 10_000_000n,
        ticketSecret: random.bytes(32),
        authTokenSecret: random.bytes(32),
      },
    });
  });
  afterEach(async () => {
    door.close();
    await signer?.close();
    signer = undefined;
    await orchestrator.close();
  });

  /** Starts the next signer, leads new connections to it, and stops the one before. */
  async function replaceSigner(...keys: Parameters<typeof start>[0]): Promise<RunningSigner> {
    const next = await start(keys);
    door.leadTo(next);
    await signer?.close();
    await door.emptied();
    signer = next;
    return next;
  }

  const startSession = (signerHeaders?: Record<string, string>) =>
    GatewaySession.start({
      signerUrl,
      orchestratorUrl: orchestrator.url,
      paymentType: 'live',
      ...(signerHeaders && { signerHeaders }),
    });

  /** Pays `rounds` times with every session at once; the sender of each payment that was made. */
  async function payAll(sessions: readonly GatewaySession[], rounds: number) {
    const senders = new Map<GatewaySession, Set<string>>(sessions.map((s) => [s, new Set()]));
    let paid = 0;
    for (let round = 0; round < rounds; round++) {
      nowNs += 1_000_000_000n;
      await Promise.all(
        sessions.map(async (session) => {
          const cycle = await session.pay();
          if (cycle.outcome !== 'paid') return;
          paid += 1;
          senders.get(session)?.add(toHex(cycle.payment.sender));
        }),
      );
    }
    return { paid, senders };
  }

  it('ends 20 sessions with the old key while 20 new ones use the new key, and drops none', async () => {
    const { address: oldAddress } = await replaceSigner({ key: oldKey, isRetiring: false });
    const old = await Promise.all(Array.from({ length: 20 }, () => startSession()));
    const before = await payAll(old, 2);

    const { address: newAddress } = await replaceSigner(
      { key: newKey, isRetiring: false },
      { key: oldKey, isRetiring: true },
    );
    expect(newAddress).not.toBe(oldAddress);
    const fresh = await Promise.all(Array.from({ length: 20 }, () => startSession()));
    const [oldPaid, newPaid] = await Promise.all([payAll(old, 4), payAll(fresh, 4)]);

    expect(before.paid).toBe(40);
    expect(oldPaid.paid + newPaid.paid).toBe(160);
    for (const session of old)
      expect([...(oldPaid.senders.get(session) ?? [])]).toEqual([oldAddress]);
    for (const session of fresh) {
      expect([...(newPaid.senders.get(session) ?? [])]).toEqual([newAddress]);
    }
    expect(orchestrator.orchestrator.rejections).toEqual([]);
    expect(orchestrator.orchestrator.droppedSessions).toEqual([]);

    expect((await signer?.status())?.keys).toMatchObject([
      { address: checksum(newAddress as `0x${string}`), role: 'active', sessionsInLastHour: 20 },
      { address: checksum(oldAddress as `0x${string}`), role: 'retiring', sessionsInLastHour: 20 },
    ]);
  });

  it('lets a gateway that holds the old address begin sessions with it, by header', async () => {
    await replaceSigner({ key: newKey, isRetiring: false }, { key: oldKey, isRetiring: true });
    const oldAddress = '0x' + (await addressOf(oldKey));
    const pinned = await startSession({ 'Livepeer-Payer-Address': oldAddress });
    expect(pinned.sender.toLowerCase()).toBe(oldAddress);
    const { senders } = await payAll([pinned], 3);
    expect([...(senders.get(pinned) ?? [])]).toEqual([oldAddress]);
    expect(orchestrator.orchestrator.rejections).toEqual([]);
  });

  it('refuses an address whose key it does not have, with no key call', async () => {
    await replaceSigner({ key: newKey, isRetiring: false }, { key: oldKey, isRetiring: true });
    oldKey.reset();
    newKey.reset();
    const response = await fetch(`${signerUrl}/sign-orchestrator-info`, {
      method: 'POST',
      headers: { 'Livepeer-Payer-Address': `0x${'11'.repeat(20)}` },
    });
    expect([response.status, await response.json()]).toEqual([
      400,
      { error: { message: 'Livepeer-Payer-Address names no key of this signer' } },
    ]);
    expect([...oldKey.digests, ...newKey.digests]).toEqual([]);
  });

  it('no longer takes a session whose key has been withdrawn', async () => {
    await replaceSigner({ key: oldKey, isRetiring: false });
    const session = await startSession();
    await session.pay();
    await replaceSigner({ key: newKey, isRetiring: false });
    await expect(session.pay()).rejects.toMatchObject({ status: 400, message: /invalid sig/ });
  });

  it('does not start with one key listed as active and as retiring', async () => {
    await replaceSigner({ key: oldKey, isRetiring: false });
    await expect(
      start([
        { key: oldKey, isRetiring: false },
        { key: oldKey, isRetiring: true },
      ]),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('what a retiring key signs', () => {
  const oldKey = createTestKey(`0x${'0a'.repeat(32)}`);
  const newKey = createTestKey(`0x${'0b'.repeat(32)}`);
  const folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-rotation-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is under the same rules, windows and record as what the active one does', async () => {
    const file = join(folder, 'policy.yaml');
    writeFileSync(
      file,
      'default: allow\nrules:\n' +
        '  - { id: hourly, window: { per: all, every: 1h, tickets: 6 } }\n' +
        '  - { id: small, limit: { tickets: 3 } }\n',
    );
    const oldAddress = `0x${await addressOf(oldKey)}`;
    oldKey.reset();
    newKey.reset();
    nowNs = usualNow;
    const signer = await start(
      [
        { key: newKey, isRetiring: false },
        { key: oldKey, isRetiring: true },
      ],
      {
        audit: { path: join(folder, 'audit') },
        store: { kind: 'embedded', path: join(folder, 'store') },
        policy: { file },
        byoc: { enabled: true },
      },
    );
    const post = async (path: string, body: string, headers = {}) => {
      const answer = await fetch(`${signer.url}${path}`, { method: 'POST', headers, body });
      return [answer.status, answer.headers.get('livepeer-signer-code')];
    };
    const ofOldKey = { 'Livepeer-Payer-Address': oldAddress };
    const pay = async (tickets: number, headers = {}) =>
      post('/generate-live-payment', await firstPayment(tickets), headers);
    const job = { id: 'j', capability: 'c', request: '', parameters: '', timeout_seconds: 1 };

    expect(await pay(4, ofOldKey)).toEqual([403, 'RULE_LIMIT_EXCEEDED']);
    expect(await pay(3, ofOldKey)).toEqual([200, null]);
    expect(await post('/sign-byoc-job', JSON.stringify(job), ofOldKey)).toEqual([200, null]);
    expect(await pay(3)).toEqual([429, 'WINDOW_EXHAUSTED']);
    expect(await pay(2)).toEqual([200, null]);
    expect(await pay(1, ofOldKey)).toEqual([429, 'WINDOW_EXHAUSTED']);
    await signer.close();

    const uses = readRecords(join(folder, 'audit')).filter(({ kind }) => kind === 'key-use');
    for (const [key, address] of [
      [oldKey, oldAddress],
      [newKey, signer.address],
    ] as const) {
      const own = uses.filter(({ sender, intent }) => sender === address && intent !== 'self-test');
      const digests = key.digests.map((digest) => Buffer.from(digest).toString('hex'));
      expect(own.flatMap((use) => use['digests'] as string[]).sort()).toEqual(digests.sort());
      // tickets, credentials, and what it signs when it is opened
      expect(digests.length).toBeGreaterThan(4);
    }
  });
});

async function addressOf(key: TestKey): Promise<string> {
  nowNs = BigInt(Date.now()) * 1_000_000n;
  const signer = await start([{ key, isRetiring: false }]);
  await signer.close();
  return signer.address.slice(2);
}
