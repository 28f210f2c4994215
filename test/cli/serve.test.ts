import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { Cli, Folder, devConfig, program, run } from './cli.ts';
import { payableRequest } from './payable-request.ts';

const freePort = { LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0' };
const running: Cli[] = [];
const servers: http.Server[] = [];

afterEach(async () => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

function serve(config: string, environment: Record<string, string> = freePort): Cli {
  const cli = new Cli(['serve', '--config', config], environment);
  running.push(cli);
  return cli;
}

/** An auth webhook that lets each payment wait for `answer`. */
async function startWebhook(answer: Promise<void>): Promise<{ url: string; asked: Promise<void> }> {
  const asked = Promise.withResolvers<undefined>();
  const server = http.createServer((_request, response) => {
    asked.resolve(undefined);
    void answer.then(() => response.end('{"status":200}'));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked: asked.promise,
  };
}

describe('a platform without the native secp256k1 library', () => {
  const withoutNative = `
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve(specifier, context, next) {
        if (specifier !== 'secp256k1/bindings.js') return next(specifier, context);
        throw new Error('no native build was found');
      },
    });`;

  it('is served by the JavaScript curve, and told of it in the log and in a metric', async () => {
    using folder = new Folder();
    const cli = serve(folder.write('signer.yaml', devConfig), {
      ...freePort,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(withoutNative)}`,
    });
    const url = await cli.listening();
    const payment = payableRequest();
    const answer = await fetch(`${url}/generate-live-payment`, { method: 'POST', body: payment });
    expect(answer.status).toBe(200);
    const metrics = await (await fetch(`${await cli.adminListening()}/metrics`)).text();
    expect(metrics).toMatch(/^livepeer_hsm_signer_build_info\{.*curve="noble-curves"\} 1$/m);
    cli.child.kill('SIGTERM');
    const { stderr } = await cli.ended();
    expect(JSON.parse(stderr.split('\n')[0] ?? '')).toMatchObject({
      level: 40,
      curve: 'noble-curves',
      platform: process.platform,
      msg: expect.stringContaining('public keys are recovered in JavaScript') as string,
    });
  });
});

describe('the first run', () => {
  it('makes key and password, and the next run pays from the same address', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', devConfig);

    const first = serve(config);
    const url = await first.listening();
    const info = await fetch(`${url}/sign-orchestrator-info`, { method: 'POST' });
    const { address } = (await info.json()) as { address: string };
    first.child.kill('SIGTERM');
    const { status, stdout, stderr } = await first.ended();
    expect(status).toBe(0);
    expect(stdout).toBe(
      `made a new key for ${address}\nlivepeer-hsm-signer is listening on ${url} as ${address}\n`,
    );
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string; time: string });
    expect(lines.map(({ msg }) => msg)).toEqual([
      'listening',
      'admin listener',
      'stopping',
      'stopped',
    ]);
    for (const { time } of lines) expect(new Date(time).toISOString()).toBe(time);

    const second = serve(config);
    const again = await second.listening();
    second.child.kill('SIGTERM');
    const { stdout: secondOutput } = await second.ended();
    expect(secondOutput).toBe(`livepeer-hsm-signer is listening on ${again} as ${address}\n`);
  });

  it('writes neither password nor keystore into its output', async () => {
    using folder = new Folder();
    const cli = serve(folder.write('signer.yaml', devConfig), {
      ...freePort,
      LIVEPEER_HSM_SIGNER__LOG__LEVEL: 'debug',
    });
    const url = await cli.listening();
    await fetch(`${url}/generate-live-payment`, { method: 'POST', body: '{}' });
    cli.child.kill('SIGTERM');
    const { stdout, stderr } = await cli.ended();
    const password = readFileSync(join(folder.path, 'password'), 'utf8').trim();
    const keystore = join(folder.path, 'keystore');
    const [name = ''] = readdirSync(keystore);
    const { crypto } = JSON.parse(readFileSync(join(keystore, name), 'utf8')) as {
      crypto: { ciphertext: string };
    };
    expect(password).toMatch(/^[0-9a-f]{64}$/);
    expect(crypto.ciphertext).toMatch(/^[0-9a-f]{64}$/);
    for (const secret of [password, crypto.ciphertext]) {
      expect(stdout + stderr).not.toContain(secret);
    }
    expect(stderr).toContain('request refused');
  });
});

describe('what it refuses to start with', () => {
  it('a port that another program listens on', async () => {
    using folder = new Folder();
    const taken = net.createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const listen = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const cli = serve(folder.write('signer.yaml', devConfig), {
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: listen,
    });
    const { status, stdout, stderr } = await cli.ended();
    taken.close();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`can't listen on ${listen}`);
    expect(stderr).toContain('another program');
    expect(stderr).toContain('server.listen or --listen');
  });

  it.each(['0.0.0.0:0', '[::]:0'])(
    'the public address %s while nobody is authenticated',
    async (listen) => {
      using folder = new Folder();
      const { status, stderr } = await serve(folder.write('signer.yaml', devConfig), {
        LIVEPEER_HSM_SIGNER__SERVER__LISTEN: `"${listen}"`,
      }).ended();
      expect(status).toBe(2);
      expect(stderr).toContain('nobody would be authenticated');
      expect(stderr).toContain('listen on 127.0.0.1');
      expect(stderr).toContain('auth.webhook');
      expect(stderr).toContain('server.allowUnauthenticatedPublic: true');
      expect(readdirSync(folder.path)).toEqual(['signer.yaml']);
    },
  );

  it('but not when the operator allows it', async () => {
    using folder = new Folder();
    const cli = serve(folder.write('signer.yaml', devConfig), {
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '0.0.0.0:0',
      LIVEPEER_HSM_SIGNER__SERVER__ALLOW_UNAUTHENTICATED_PUBLIC: 'true',
    });
    expect(await cli.listening()).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
  });

  it('a wrong --listen', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', devConfig);
    const { status, stderr } = await run(['serve', '--config', config, '--listen', 'localhost']);
    expect(status).toBe(2);
    expect(stderr).toContain('server.listen: expected HOST:PORT');
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  it('answers the payment under way, refuses new connections and ends with 0', async () => {
    using folder = new Folder();
    const decided = Promise.withResolvers<undefined>();
    const webhook = await startWebhook(decided.promise);
    const cli = serve(folder.write('signer.yaml', devConfig), {
      ...freePort,
      LIVEPEER_HSM_SIGNER__AUTH__WEBHOOK__URL: webhook.url,
    });
    const url = await cli.listening();
    const answer = fetch(`${url}/generate-live-payment`, {
      method: 'POST',
      body: payableRequest(),
    });
    await webhook.asked;

    cli.child.kill(signal);
    while (!cli.stderr.includes('"stopping"')) await delay(5);
    cli.child.kill(signal);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    decided.resolve(undefined);

    const response = await answer;
    expect(response.status).toBe(200);
    expect(response.headers.get('connection')).toBe('close');
    expect(await response.json()).toHaveProperty('payment');
    const { status, signal: killedBy, stderr } = await cli.ended();
    expect({ status, killedBy }).toEqual({ status: 0, killedBy: null });
    expect(stderr).toContain('payment signed');
  });
});

describe('the first process of a container', () => {
  /** Starts it in a namespace of its own, where no signal ends it that it does not listen to; gives its id outside. */
  async function serveFirst(config: string, lameDuckMs: number) {
    const serving = ['serve', '--config', config, '--listen', '127.0.0.1:0'];
    const child = spawn(
      'unshare',
      ['--pid', '--fork', '--kill-child=SIGKILL', process.execPath, program, ...serving],
      {
        env: {
          ...process.env,
          LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: 'false',
          LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: `${lameDuckMs}`,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    const children = `/proc/${child.pid}/task/${child.pid}/children`;
    for (;;) {
      const pid = readFileSync(children, 'utf8');
      if (pid !== '') return { child, pid: Number(pid) };
      await delay(5);
    }
  }

  it('ends at a signal that comes while it starts', async () => {
    using folder = new Folder();
    const asked = Promise.withResolvers<undefined>();
    const node = http.createServer(() => asked.resolve(undefined));
    servers.push(node);
    await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
    const rpcUrl = `http://127.0.0.1:${(node.address() as AddressInfo).port}`;
    const text = devConfig.replace(
      /chain:[^]*/,
      `chain: { source: on-chain, rpcUrls: ['${rpcUrl}'] }\n`,
    );
    const { child, pid } = await serveFirst(folder.write('signer.yaml', text), 0);
    await asked.promise;
    process.kill(pid, 'SIGTERM');
    expect(await once(child, 'close')).toEqual([143, null]);
  });

  it('ends at a second signal at once', async () => {
    using folder = new Folder();
    const { child, pid } = await serveFirst(folder.write('signer.yaml', devConfig), 600_000);
    await once(child.stdout, 'data');
    process.kill(pid, 'SIGTERM');
    // one within a second may be the same, passed on
    const ended = once(child, 'close');
    while ((await Promise.race([ended, delay(100, 'serving')])) === 'serving') {
      process.kill(pid, 'SIGINT');
    }
    expect(await ended).toEqual([130, null]);
  });
});

describe('stopping', () => {
  it('does not wait for idle connections or for half a request line', async () => {
    using folder = new Folder();
    const cli = serve(folder.write('signer.yaml', devConfig), {
      ...freePort,
      LIVEPEER_HSM_SIGNER__SERVER__HEADERS_TIMEOUT_MS: '600000',
      LIVEPEER_HSM_SIGNER__SERVER__RECEIVE_TIMEOUT_MS: '600000',
    });
    const { port } = new URL(await cli.listening());
    const idle = net.connect(Number(port), '127.0.0.1');
    const half = net.connect(Number(port), '127.0.0.1', () => half.write('POST /generate-li'));
    for (const socket of [idle, half]) socket.on('error', () => undefined);
    await Promise.all([once(idle, 'connect'), once(half, 'connect')]);
    await fetch(`http://127.0.0.1:${port}/healthz`);
    cli.child.kill('SIGTERM');
    expect((await cli.ended()).status).toBe(0);
  });

  it('waits no longer than receiveTimeoutMs for a body that does not come', async () => {
    using folder = new Folder();
    const cli = serve(folder.write('signer.yaml', devConfig), {
      ...freePort,
      LIVEPEER_HSM_SIGNER__SERVER__HEADERS_TIMEOUT_MS: '400',
      LIVEPEER_HSM_SIGNER__SERVER__RECEIVE_TIMEOUT_MS: '400',
    });
    const { port } = new URL(await cli.listening());
    const socket = net.connect(Number(port), '127.0.0.1', () =>
      socket.write(
        'POST /generate-live-payment HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n' +
          'Expect: 100-continue\r\n\r\n{',
      ),
    );
    socket.on('error', () => undefined);
    await once(socket, 'data');
    cli.child.kill('SIGTERM');
    expect((await cli.ended()).status).toBe(0);
  });

  it('answers a payment under way for as long as it may take, whatever a body may', async () => {
    using folder = new Folder();
    const decided = Promise.withResolvers<undefined>();
    const webhook = await startWebhook(decided.promise);
    const cli = serve(folder.write('signer.yaml', devConfig), {
      ...freePort,
      LIVEPEER_HSM_SIGNER__SERVER__HEADERS_TIMEOUT_MS: '300',
      LIVEPEER_HSM_SIGNER__SERVER__RECEIVE_TIMEOUT_MS: '300',
      LIVEPEER_HSM_SIGNER__SERVER__REQUEST_DEADLINE_MS: '60000',
      LIVEPEER_HSM_SIGNER__AUTH__WEBHOOK__URL: webhook.url,
      LIVEPEER_HSM_SIGNER__AUTH__WEBHOOK__TIMEOUT_MS: '60000',
    });
    const url = await cli.listening();
    const body = payableRequest();
    const answer = fetch(`${url}/generate-live-payment`, { method: 'POST', body });
    await webhook.asked;
    const late = net.connect(Number(new URL(url).port), '127.0.0.1', () =>
      late.write('POST /generate-live-payment HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{'),
    );
    late.on('error', () => undefined);
    await once(late, 'connect');
    cli.child.kill('SIGTERM');
    // which is cut off, and the payment with it once
    await once(late, 'close');
    decided.resolve(undefined);
    expect((await answer).status).toBe(200);
    expect((await cli.ended()).status).toBe(0);
  });
});
