import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { killGroup } from './kill-group.ts';
import type { SoftHsm } from './softhsm.ts';

/** A SoftHSM store behind a socket, as the client library of a network HSM reaches its device. */
export class P11KitServer {
  /** Path of the library that programs load. */
  readonly module = '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so';
  /** What that library reads from the environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #hsm: SoftHsm;
  readonly #socket: string;
  #process: ChildProcess | undefined;

  constructor(hsm: SoftHsm) {
    this.#hsm = hsm;
    this.#socket = join(hsm.directory, 'p11-kit.sock');
    this.environment = { P11_KIT_SERVER_ADDRESS: `unix:path=${this.#socket}` };
  }

  /** Throws when p11-kit is missing or ends at once. */
  async start(): Promise<void> {
    rmSync(this.#socket, { force: true });
    const server = spawn(
      'p11-kit',
      [
        ...['server', '--foreground', '--name', this.#socket],
        ...['--provider', this.#hsm.module, 'pkcs11:'],
      ],
      {
        detached: true,
        stdio: 'ignore',
        env: {
          ...process.env,
          SOFTHSM2_CONF: this.#hsm.configFile,
          XDG_RUNTIME_DIR: this.#hsm.directory,
        },
      },
    );
    this.#process = server;
    await once(server, 'spawn');
    while (!existsSync(this.#socket)) {
      if (server.exitCode !== null) throw new Error('the p11-kit server did not start');
      await delay(10);
    }
  }

  /** Ends the server and the processes it forked, one for each connection, at a blow. */
  async kill(): Promise<void> {
    const server = this.#process;
    if (server?.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    killGroup(server, 'SIGKILL');
    await ended;
  }
}
