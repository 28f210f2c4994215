import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createRedisLedger } from '../../src/policy/limits/redis/redis-ledger.ts';
import { Secret } from '../../src/secret.ts';
import { createRedisAnswers } from '../../src/session/redis-answers.ts';
import { type RedisAccess, connectRedis } from '../../src/store/redis.ts';
import { newAuthority, newCertificate } from '../auth/certificates.ts';
import { Folder, root } from '../cli/cli.ts';
import { never, newWindow, oneTicket, requireReserved } from '../policy/limits/ledger-cases.ts';
import { freePort, startRedisServer } from '../support/redis-server.ts';

async function connect(options: RedisAccess) {
  const lines: string[] = [];
  const redis = await connectRedis({
    ...options,
    log: (_, message, fields) => lines.push(`${message} ${JSON.stringify(fields ?? {})}`),
  });
  onTestFinished(() => redis.close());
  const ping = () => redis.run("return 'pong'", [], []).catch(String);
  return { redis, lines, ping };
}

/** The account that docs/limits.md tells operators to make. */
function documentedAccount(): string {
  const [line] = /^ACL SETUSER signer .*$/m.exec(
    readFileSync(join(root, 'docs/limits.md'), 'utf8'),
  ) ?? [''];
  expect(line).toContain('-@all');
  // of Redis 7.2
  return line.replace(' +waitaof', '').replace('>PASSWORD', '>correct-horse');
}

it('needs no more rights than docs/limits.md lists, and all of them', async () => {
  const server = await startRedisServer();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const replica = await startRedisServer('--repl-diskless-sync-delay', '0');
  onTestFinished(() => replica[Symbol.asyncDispose]());
  expect(await replica.command(`REPLICAOF 127.0.0.1 ${server.port}`)).toBe('+OK');
  await expect.poll(() => server.command('WAIT 1 100')).toBe(':1');
  expect(await server.command(documentedAccount())).toBe('+OK');

  const login = { username: 'signer', password: new Secret('correct-horse') };
  const acknowledge = { replicas: 1 };
  const { redis } = await connect({ url: server.url, login, acknowledge });
  const keyPrefix = 'livepeer-hsm-signer:';
  const ledger = createRedisLedger({ redis, keyPrefix });
  const window = newWindow();
  const session = { id: 'a'.repeat(32), spentEv: 0n, limits: [] };
  const reservation = requireReserved(await ledger.reserve([window], oneTicket, never, session));
  await ledger.checkHealth();
  expect(await ledger.usage([window])).toEqual([oneTicket]);
  await reservation.release();
  expect(await ledger.usage([window])).toEqual([{ ev: 0n, tickets: 0n, sessions: 0n }]);

  const answers = createRedisAnswers({
    redis,
    keyPrefix,
    ttlMs: 60_000,
    maxBytes: 1_000_000,
    requestDeadlineMs: 4_500,
  });
  const nonces = {
    ticketSession: 'session',
    holder: 'tenant',
    count: 2,
    after: 0,
    limit: 500,
    lifetimeMs: 60_000,
  };
  const holder = { tenant: 'tenant', principal: 'principal' };
  const request = { use: 'use', requestHash: 'hash', nonces, holder };
  const first = await answers.claim(request, never);
  if (first.kind !== 'new') throw new Error('it was answered');
  await first.forget('unused');
  const second = await answers.claim(request, never);
  if (second.kind !== 'new') throw new Error('it was answered');
  expect(second.nonces).toMatchObject({ kind: 'taken', lastNonce: 0 });
  expect(await second.remember('answer')).toBe('answer');
  expect(await answers.claim(request, never)).toEqual({ kind: 'answered', answer: 'answer' });

  const foreign = redis.run("return redis.call('GET', KEYS[1])", ['other'], []);
  await expect(foreign).rejects.toThrow('Redis answered');
});

it('uses TLS with its own CA, certificate and server name, and refuses whatever does not fit', async () => {
  using folder = new Folder();
  const authority = await newAuthority('redis CA');
  const stranger = await newAuthority('another CA');
  const name = { type: 2, value: 'redis.internal' } as const;
  const serverPair = await newCertificate(authority, {
    commonName: 'redis',
    altNames: [name],
    usage: 'serverAuth',
  });
  const own = await newCertificate(authority, { commonName: 'signer' });
  const port = await freePort();
  const server = await startRedisServer(
    ...['--tls-port', `${port}`, '--tls-auth-clients', 'yes'],
    ...['--tls-ca-cert-file', folder.write('ca.pem', authority.cert)],
    ...['--tls-cert-file', folder.write('cert.pem', serverPair.cert)],
    ...['--tls-key-file', folder.write('key.pem', serverPair.key)],
  );
  onTestFinished(() => server[Symbol.asyncDispose]());
  const url = `rediss://127.0.0.1:${port}`;
  const right = { ca: authority.cert, serverName: 'redis.internal', ...own };
  const attempt = async (tls: object | undefined) =>
    (await connect({ url, ...(tls && { readTls: () => tls }) })).ping();

  expect(await attempt(right)).toBe('pong');
  const refused = 'Error: there is no connection to Redis';
  expect(await attempt(undefined)).toBe(refused);
  expect(await attempt({ ...right, ca: stranger.cert })).toBe(refused);
  expect(await attempt({ ...right, serverName: 'redis.example' })).toBe(refused);
  expect(await attempt({ ...right, serverName: undefined })).toBe(refused);
  expect(await attempt({ ...right, cert: undefined, key: undefined })).toBe(refused);
});

it('refuses to start where nobody can acknowledge as it is told to', async () => {
  const server = await startRedisServer();
  onTestFinished(() => server[Symbol.asyncDispose]());
  await expect(connect({ url: server.url, acknowledge: 'aof' })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/^store\.acknowledge: .*Redis 7\.2/) as string,
  });
});
