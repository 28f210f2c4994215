import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';
import { openProvider } from '../plugins/pkcs11/open-provider.ts';
import { createSoftHsm, type SoftHsm } from '../support/softhsm.ts';
import { testConformance } from './run-cases.ts';

const client = '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so';
const pin = 'pin-of-the-conformance-token';

let hsm: SoftHsm;
let socket: string;
let server: ChildProcess;

beforeAll(async () => {
  hsm = createSoftHsm('livepeer', pin);
  hsm.makeKey({ label: 'payer', id: '01' });
  socket = join(hsm.directory, 'p11-kit.sock');
  const options = ['server', '--foreground', '--name', socket, '--provider', hsm.module, 'pkcs11:'];
  const env = { ...process.env, SOFTHSM2_CONF: hsm.configFile, XDG_RUNTIME_DIR: hsm.directory };
  server = spawn('p11-kit', options, { detached: true, stdio: 'ignore', env });
  await once(server, 'spawn');
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error('the p11-kit server did not start');
    await delay(10);
  }
});

/** The server forks a process for each connection, so its whole group is ended. */
afterAll(async () => {
  const ended = once(server, 'exit');
  if (server.pid !== undefined) process.kill(-server.pid, 'SIGKILL');
  await ended;
  hsm.remove();
});

testConformance('pkcs11 (p11-kit)', {
  open: () =>
    openProvider(hsm, {
      module: client,
      environment: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` },
      sessions: 1,
    }),
  secrets: [pin],
});
