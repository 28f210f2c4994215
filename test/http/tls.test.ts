import { generateKeyPairSync } from 'node:crypto';
import https from 'node:https';
import { once } from 'node:events';
import type http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newCertificate } from '../auth/certificates.ts';
import { ConfigError } from '../../src/errors.ts';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startApp } from './app.ts';

let folder: Folder;
let certificate: string;

beforeAll(async () => {
  folder = new Folder();
  const pems = await generate([{ name: 'commonName', value: 'localhost' }], {
    keySize: 2048,
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  });
  certificate = pems.cert;
  folder.write('cert.pem', pems.cert);
  folder.write('key.pem', pems.private);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = { type: 'pkcs8', format: 'pem' } as const;
  folder.write('other-key.pem', privateKey.export(pem) as string);
  const locked = { ...pem, cipher: 'aes-256-cbc', passphrase: 'hunter2' };
  folder.write('locked-key.pem', privateKey.export(locked) as string);
  folder.write('text.pem', 'hello');
  folder.write('empty.pem', '');
});

afterAll(() => {
  folder[Symbol.dispose]();
});

function pair(cert: string, key: string) {
  const [certPath, keyPath] = [join(folder.path, cert), join(folder.path, key)];
  return { setting: 'server.tls', cert: certPath, key: keyPath, clientCa: undefined };
}

describe('TLS', () => {
  it('serves payments to a client that trusts the certificate, and no plain HTTP', async () => {
    const config = folder.write(
      'signer.yaml',
      `${devConfig}server: { listen: 0, tls: { cert: cert.pem, key: key.pem } }\n`,
    );
    const cli = new Cli(['serve', '--config', config]);
    try {
      const url = await cli.listening();
      expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
      const request = https.request(`${url}/generate-live-payment`, {
        method: 'POST',
        ca: certificate,
      });
      request.end(payableRequest());
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      response.resume();
      expect(response.statusCode).toBe(200);
      await expect(fetch(`${url.replace('https', 'http')}/healthz`)).rejects.toThrow();
      await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    } finally {
      cli.child.kill('SIGTERM');
    }
    expect((await cli.ended()).status).toBe(0);
  });

  it.each([
    {
      cert: 'absent.pem',
      key: 'key.pem',
      says: /^server\.tls\.cert: .*absent\.pem can't be read: it does not exist$/,
    },
    {
      cert: 'cert.pem',
      key: 'absent.pem',
      says: /^server\.tls\.key: .*absent\.pem can't be read: it does not exist$/,
    },
    { cert: '.', key: 'key.pem', says: /^server\.tls\.cert: .* can't be read: it is a folder$/ },
    {
      cert: 'text.pem',
      key: 'key.pem',
      says: /^server\.tls: .*text\.pem and .*key\.pem are no PEM certificate/,
    },
    { cert: 'empty.pem', key: 'key.pem', says: /^server\.tls: .*empty\.pem/ },
    { cert: 'cert.pem', key: 'text.pem', says: /^server\.tls: .*text\.pem/ },
    {
      cert: 'cert.pem',
      key: 'other-key.pem',
      says: /^server\.tls: .*other-key\.pem .*its unencrypted key/,
    },
    {
      cert: 'cert.pem',
      key: 'locked-key.pem',
      says: /^server\.tls: .*locked-key\.pem .*its unencrypted key/,
    },
    { cert: 'key.pem', key: 'cert.pem', says: /^server\.tls: / },
  ])('refuses $cert with $key, naming field and file', async ({ cert, key, says }) => {
    const refused = startApp(() => Promise.reject(new Error('never')), { tls: pair(cert, key) });
    const error: unknown = await refused.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toHaveProperty('message', expect.stringMatching(says));
  });

  it('ends the program with exit code 2 when the certificate is missing', async () => {
    const config = folder.write(
      'no-cert.yaml',
      `${devConfig}server: { listen: 0, tls: { cert: absent.pem, key: key.pem } }\n`,
    );
    const { status, stderr } = await new Cli(['serve', '--config', config]).ended();
    expect(status).toBe(2);
    expect(stderr).toContain(`server.tls.cert: ${join(folder.path, 'absent.pem')} can't be read`);
  });

  it('lets no connection that has yet to begin its handshake hold up a stop', async () => {
    const timeouts = { headersTimeoutMs: 600_000, receiveTimeoutMs: 600_000 };
    const options = { tls: pair('cert.pem', 'key.pem'), ...timeouts };
    const app = await startApp(() => Promise.reject(new Error('never')), options);
    const silent = net.connect(app.port, '127.0.0.1');
    await once(silent, 'connect');
    await app.close();
    await once(silent.resume(), 'close');
  });

  it('takes up a renewed certificate for new connections, once it fits its key', async () => {
    const names = ['old', 'new'] as const;
    const made = await Promise.all(
      names.map((commonName) =>
        newCertificate(undefined, {
          commonName,
          usage: 'serverAuth',
          altNames: [{ type: 7, ip: '127.0.0.1' }],
        }),
      ),
    );
    const [before, after] = made;
    if (!before || !after) throw new Error('two were to be made');
    using own = new Folder();
    own.write('cert.pem', before.cert);
    own.write('key.pem', before.key);
    const config = own.write(
      'signer.yaml',
      `${devConfig}server: { listen: 0, tls: { cert: cert.pem, key: key.pem } }\n`,
    );
    const cli = new Cli(['serve', '--config', config]);
    const shown = async (url: string): Promise<string> => {
      const socket = tls.connect({
        port: Number(new URL(url).port),
        host: '127.0.0.1',
        rejectUnauthorized: false,
      });
      await once(socket, 'secureConnect');
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return String(subject.CN);
    };
    try {
      const url = await cli.listening();
      expect(await shown(url)).toBe('old');
      own.write('cert.pem', after.cert);
      await vi.waitFor(() => expect(cli.stderr).toContain('file not reloaded'), 20_000);
      expect(await shown(url)).toBe('old');
      own.write('key.pem', after.key);
      await vi.waitFor(async () => expect(await shown(url)).toBe('new'), 20_000);
    } finally {
      cli.child.kill('SIGTERM');
    }
    expect((await cli.ended()).status).toBe(0);
  });
});
