import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const redisProgram = '/usr/bin/redis-server';
const startTimeoutMs = 60_000;

/** A real redis-server on a port of its own, which keeps its data in a folder of its own from one start to the next. */
export type RedisServer = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  /** Ends it as an operator would: it writes what it has. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again, on the same port, with what it had written; further arguments hold for this start. */
  start(...moreArgs: readonly string[]): Promise<void>;
  /** It keeps its connections and answers nothing. */
  pause(): void;
  resume(): void;
  /** Sends one command over a connection of its own; resolves with the first line of the answer. */
  command(line: string): Promise<string>;
};

/** Starts it with every write on disk before it is answered, unless told otherwise. Throws when it does not start. */
export function startRedisServer(...extraArgs: readonly string[]): Promise<RedisServer> {
  return startServerProgram(redisProgram, ...extraArgs);
}

/** Starts another program than Debian's redis-server that takes its arguments. */
export async function startServerProgram(
  program: string,
  ...extraArgs: readonly string[]
): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-redis-'));
  const port = await freePort();
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder];
  args.push('--save', '', '--appendonly', 'yes', '--appendfsync', 'always', ...extraArgs);
  let child: ChildProcess | undefined;

  async function start(...moreArgs: readonly string[]): Promise<void> {
    const started = spawn(program, [...args, ...moreArgs], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = started;
    let output = '';
    started.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    let failure: string | undefined;
    started.once('error', (error) => (failure = error.message));
    started.once('exit', (code, signal) => (failure = `it ended with ${signal ?? code}`));
    const deadline = performance.now() + startTimeoutMs;
    while ((await ask(port, 'PING')) === '') {
      if (failure === undefined && performance.now() < deadline) await sleep(20);
      else throw new Error(`${program} did not start: ${failure ?? 'no answer'}\n${output}`);
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const running = child;
    child = undefined;
    if (running?.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, 'exit');
    running.kill(signal);
    running.kill('SIGCONT');
    await exited;
  }

  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    start,
    pause: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
    command: (line) => ask(port, line),
    async [Symbol.asyncDispose]() {
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One of which the cluster's bus may have the port 10,000 above. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await probePort(0);
    if (port === undefined || port > 55_535) continue;
    if ((await probePort(port + 10_000)) !== undefined) return port;
  }
}

/** Undefined when it is taken. */
async function probePort(wanted: number): Promise<number | undefined> {
  const server = createServer();
  const isFree = new Promise<boolean>((resolve) => {
    server.once('listening', () => resolve(true)).once('error', () => resolve(false));
  });
  server.listen(wanted, '127.0.0.1');
  if (!(await isFree)) return undefined;
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The first line of the answer; '' when there is none. */
function ask(port: number, line: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${line}\r\n`));
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on('data', (chunk) => {
      resolve(chunk.toString().split('\r\n')[0] ?? '');
      socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(''));
  });
}
