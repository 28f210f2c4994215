import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { percentile } from '../bench/result.ts';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import { type Kind, type Member, kinds } from './fifty.ts';

const maxAgeMs = 10_000;
const runMs = 40_000;
const leaveAfterMs = 15_000;
const pauseMs = 5;

type Seen = { readonly firstMs: number; readonly lastMs: number; readonly oldestMs: number };

/**
 * Fifty orchestrators, the signer and whoever asks it in three processes; the table tells what was listed, and for how long. Each
 * question is followed by one to a signer that asks nobody, so that the machine's part in the times can be told.
 */
it('discovery of fifty orchestrators', async () => {
  const program = fileURLToPath(new URL('crowd-program.ts', import.meta.url));
  const crowd = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  using folder = new Folder();
  let cli: Cli | undefined;
  let idle: Cli | undefined;
  try {
    const [line] = (await once(createInterface({ input: crowd.stdout }), 'line')) as [string];
    const members = JSON.parse(line) as Member[];
    const discovery = {
      orchestrators: members.map(({ url }) => url),
      refreshIntervalMs: 3_000,
      maxAgeMs,
      requestTimeoutMs: 2_000,
      grants: ['127.0.0.0/8'],
      verifyTls: false,
      requestsPerSecond: 1_000_000,
    };
    const text = `${devConfig}discovery: ${JSON.stringify(discovery)}\n`;
    cli = new Cli(['serve', '--config', folder.write('signer.yaml', text), '--listen', ':0']);
    const url = await cli.listening();
    const without = folder.write('idle.yaml', devConfig);
    idle = new Cli(['serve', '--config', without, '--listen', ':0']);
    const idleUrl = await idle.listening();

    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const idleAgent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const startedAt = performance.now();
    const latencies: number[] = [];
    const idleLatencies: number[] = [];
    const seen = new Map<string, Seen>();
    let unavailable = 0;
    let hasLeft = false;
    for (;;) {
      const atMs = performance.now() - startedAt;
      if (atMs > runMs) break;
      if (!hasLeft && atMs > leaveAfterMs) hasLeft = crowd.kill('SIGUSR2');
      const before = performance.now();
      const { status, body } = await get(`${url}/discover-orchestrators`, agent);
      latencies.push(performance.now() - before);
      if (status === 200) note(JSON.parse(body) as { address: string; last_seen: string }[], atMs);
      else unavailable += 1;
      const beforeIdle = performance.now();
      await get(`${idleUrl}/discover-orchestrators`, idleAgent);
      idleLatencies.push(performance.now() - beforeIdle);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    agent.destroy();
    idleAgent.destroy();

    const rows = (Object.keys(kinds) as Kind[]).map((kind) => {
      const found = members
        .filter((member) => member.kind === kind)
        .flatMap(({ address }) => seen.get(address) ?? []);
      const seconds = (values: number[], choose: (...values: number[]) => number) =>
        found.length === 0 ? '' : (choose(...values) / 1000).toFixed(1);
      return {
        kind,
        asked: kinds[kind],
        listed: found.length,
        'first listed, s': seconds(
          found.map((each) => each.firstMs),
          Math.max,
        ),
        'last listed, s': seconds(
          found.map((each) => each.lastMs),
          Math.max,
        ),
        'oldest last_seen, s': seconds(
          found.map((each) => each.oldestMs),
          Math.max,
        ),
      };
    });
    const show = (times: readonly number[]) =>
      `p50 ${percentile(times, 0.5).toFixed(2)} ms, p99 ${percentile(times, 0.99).toFixed(2)} ms, most ${percentile(times, 1).toFixed(2)} ms`;
    console.table(rows);
    console.log(
      `${latencies.length} requests, ${unavailable} of them before the first answer: ${show(latencies)}; ` +
        `of a signer that asks nobody: ${show(idleLatencies)}`,
    );

    const listedOf = (kind: Kind) => rows.find((row) => row.kind === kind);
    for (const kind of ['well', 'leaving', 'renamed', 'flapping'] as const) {
      expect(listedOf(kind)?.listed).toBe(kinds[kind]);
    }
    for (const kind of [
      'down',
      'silent',
      'oversized',
      'malformed',
      'redirecting',
      'private',
    ] as const) {
      expect(listedOf(kind)?.listed).toBe(0);
    }
    expect(Number(listedOf('leaving')?.['last listed, s'])).toBeLessThan(runMs / 1000 - 2);
    for (const row of rows.filter(({ kind }) => kind === 'well' || kind === 'flapping')) {
      expect(Number(row['last listed, s'])).toBeGreaterThan(runMs / 1000 - 2);
    }

    function note(entries: readonly { address: string; last_seen: string }[], atMs: number): void {
      for (const { address, last_seen } of entries) {
        const ageMs = Date.now() - Date.parse(last_seen);
        const known = seen.get(address);
        seen.set(address, {
          firstMs: known?.firstMs ?? atMs,
          lastMs: atMs,
          oldestMs: Math.max(known?.oldestMs ?? 0, ageMs),
        });
      }
    }
  } finally {
    cli?.child.kill('SIGTERM');
    idle?.child.kill('SIGTERM');
    crowd.kill('SIGTERM');
  }
});

function get(url: string, agent: http.Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', reject);
      })
      .on('error', reject);
  });
}
