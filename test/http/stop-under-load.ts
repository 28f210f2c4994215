import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Cli, type Ended } from '../cli/cli.ts';

/** What clients saw of one stop. */
export type Stop = {
  readonly answers: number;
  /** those after the signal that kept the connection open */
  readonly keptOpen: number;
  readonly failures: readonly string[];
  readonly ended: Ended;
};

const clients = 6;
/** Long enough for this process to see the stop and ask for readiness in it, on a machine that is busy. */
const lameDuckMs = 1_500;

/**
 * Starts the signer, asks it over connections that are kept, as gateways behind a load balancer do, and stops it. Each client
 * goes elsewhere when it is told `Connection: close`, or when `/readyz` has turned red and its connection is free.
 */
export async function stopUnderLoad(config: string, settleMs: number): Promise<Stop> {
  const cli = new Cli(['serve', '--config', config], {
    LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0',
    LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: `${lameDuckMs}`,
  });
  const url = await cli.listening();
  const failures: string[] = [];
  let answers = 0;
  let keptOpen = 0;
  let isTold = false;

  async function ask(agent: http.Agent): Promise<'go on' | 'leave'> {
    return new Promise((resolve) => {
      const request = http.request(
        `${url}/sign-orchestrator-info`,
        { agent, method: 'POST' },
        (response) => {
          response.resume().on('end', () => {
            answers += 1;
            if (response.statusCode !== 200) failures.push(`HTTP ${response.statusCode}`);
            const closes = response.headers.connection === 'close';
            if (wasTold && !closes) keptOpen += 1;
            resolve(closes ? 'leave' : 'go on');
          });
          response.on('error', (error) => {
            failures.push(`in the answer: ${error.message}`);
            resolve('leave');
          });
        },
      );
      const wasTold = isTold;
      request.on('error', (error: NodeJS.ErrnoException) => {
        failures.push(error.code ?? error.message);
        resolve('leave');
      });
      request.end('{}');
    });
  }

  async function load(): Promise<void> {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    while ((await ask(agent)) === 'go on') await delay(5);
    agent.destroy();
  }

  const loads = Promise.all(Array.from({ length: clients }, load));
  await delay(settleMs);
  cli.child.kill('SIGTERM');
  while (!cli.stderr.includes('"stopping"')) await delay(5);
  isTold = true;
  const { status } = await fetch(`${url}/readyz`);
  if (status !== 503) failures.push(`readiness ${status}`);
  await loads;
  return { answers, keptOpen, failures, ended: await cli.ended() };
}
