import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiKeyMethod, newApiKey } from '../../src/auth/api-keys.ts';
import { parseApiKeyFile } from '../../src/config/api-key-file.ts';
import { Folder } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { untilTaken } from './ask.ts';
import { KeyFile } from './auth-world.ts';
import { soon } from '../support/soon.ts';

describe('a file of API keys that changes while the signer runs', () => {
  let folder: Folder;
  let file: KeyFile;
  let key: string;
  let signer: TestSigner;
  const pay = async (apiKey = key) => {
    const { status } = await signer.post(payableRequest(), { 'X-Api-Key': apiKey });
    return status;
  };
  const logged = (msg: string) => signer.logLines.filter((line) => line['msg'] === msg);

  beforeEach(async () => {
    folder = new Folder();
    file = new KeyFile(folder);
    key = file.add({ principal: 'gateway' });
    signer = await startTestSigner({ settings: { auth: { apiKeys: { file: file.path } } } });
  });
  afterEach(async () => {
    await signer.close();
    folder[Symbol.dispose]();
  });

  it('takes a key away from its next request on, without a key call', async () => {
    expect(await pay()).toBe(200);
    signer.key.reset();
    file.revoke(key);
    await soon(async () => expect(await pay()).toBe(401));
    signer.key.reset();
    expect(await pay()).toBe(401);
    expect(signer.key.digests).toHaveLength(0);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'CREDENTIAL_INVALID' });
  });

  it('is read again at SIGHUP, without waiting', async () => {
    const another = file.add({ principal: 'another' });
    process.emit('SIGHUP');
    await soon(async () => expect(await pay(another)).toBe(200));
    file.revoke(another);
    process.emit('SIGHUP');
    await soon(async () => expect(await pay(another)).toBe(401));
    expect(await pay()).toBe(200);
  });

  it('keeps the keys in force while it is broken, and says so', async () => {
    file.revoke(key);
    file.truncate();
    process.emit('SIGHUP');
    await soon(() => {
      const [line] = logged('file not reloaded: what was in force stays');
      expect(line).toMatchObject({ path: file.path });
    });
    expect(await pay()).toBe(200);
    rmSync(file.path);
    process.emit('SIGHUP');
    expect(await pay()).toBe(200);
    file.restore();
    process.emit('SIGHUP');
    await soon(async () => expect(await pay()).toBe(401));
  });

  it('has a key expire by the clock', async () => {
    const expiring = file.add({ principal: 'guest', expires: '2100-01-01T00:00:00Z' });
    await untilTaken(signer.url, expiring);
    signer.now = BigInt(Date.parse('2099-12-31T23:59:59.999Z')) * 1_000_000n;
    // its turn comes before that of the orchestrator's auth token, which has expired by then
    expect(await pay(expiring)).toBe(480);
    signer.now += 1_000_000n;
    expect(await pay(expiring)).toBe(401);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'CREDENTIAL_EXPIRED' });
  });
});

describe('a file of API keys that can’t be used', () => {
  const good = { id: 'a'.repeat(12), hash: '0'.repeat(64), principal: 'p' };

  it.each([
    { fault: 'no list', text: 'keys: []', says: 'the document: expected a list' },
    { fault: 'the key itself', change: { key: 'lhs_x' }, says: '0.key: unknown field' },
    { fault: 'a short id', change: { id: 'abc' }, says: '0.id: expected 12 to 64' },
    { fault: 'a hash cut short', change: { hash: 'ab' }, says: '0.hash: expected a SHA-256' },
    { fault: 'no principal', change: { principal: undefined }, says: '0.principal: missing' },
    { fault: 'an empty principal', change: { principal: '' }, says: '0.principal: expected 1 to' },
    { fault: 'a date', change: { expires: '2027-01-31' }, says: '0.expires: expected a time' },
    { fault: 'a time of no zone', change: { expires: '2027-01-31T00:00:00' }, says: '0.expires:' },
    {
      fault: 'a payer that is no address',
      change: { attributes: { payer: '0x1' } },
      says: '0.attributes.payer: expected 0x and 40',
    },
    { fault: 'a doubtful revocation', change: { revoked: 'no' }, says: '0.revoked: expected true' },
  ])('is refused for $fault', ({ text, change, says }) => {
    const content = text ?? JSON.stringify([{ ...good, ...change }]);
    expect(() => parseApiKeyFile(content, 'api-keys.yaml')).toThrow(says);
  });

  it('is refused when an id is there twice, and all problems are told at once', () => {
    const twice = JSON.stringify([good, good]);
    expect(() => parseApiKeyFile(twice, 'k')).toThrow('1.id: has the id of entry 0');
    const bad = JSON.stringify([{ ...good, id: 1, hash: 2 }]);
    expect(() => parseApiKeyFile(bad, 'k')).toThrow(/0\.id: .*\n.*0\.hash: /);
  });

  it('keeps the signer from starting, and is named', async () => {
    using folder = new Folder();
    const start = (file: string) => startTestSigner({ settings: { auth: { apiKeys: { file } } } });
    const absent = join(folder.path, 'absent.yaml');
    await expect(start(absent)).rejects.toThrow(`${absent} can't be read`);
    const broken = folder.write('broken.yaml', '- id: x');
    await expect(start(broken)).rejects.toThrow(`${broken} is not a valid list of API keys`);
  });

  it('shows no more of an entry than its place', () => {
    const secret = `lhs_${'a'.repeat(12)}_${'s'.repeat(43)}`;
    const text = JSON.stringify([{ ...good, hash: secret }]);
    expect(() => parseApiKeyFile(text, 'k')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('sss') as string }) as Error,
    );
  });
});

describe('checking an API key', () => {
  it('costs one SHA-256, for the key is too random to need a slow hash', async () => {
    const { id, key, hash } = newApiKey();
    expect(hash).toBe(createHash('sha256').update(key).digest('hex'));
    const keys = parseApiKeyFile(JSON.stringify([{ id, hash, principal: 'p' }]), 'k');
    const check = createApiKeyMethod(() => keys, Date.now);
    const headers = new Map([['Authorization', [`Bearer ${key}`]]]);
    const caller = await check({ headers, certificate: undefined });
    expect(caller).toMatchObject({ id: 'p' });
  });

  it('makes keys of 256 random bits that differ', () => {
    const made = Array.from({ length: 50 }, newApiKey);
    expect(new Set(made.map(({ key }) => key)).size).toBe(50);
    for (const { id, key } of made) {
      expect(key).toMatch(/^lhs_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
      expect(key).toContain(id);
      expect(Buffer.from(key.slice(-43), 'base64url')).toHaveLength(32);
    }
  });
});
