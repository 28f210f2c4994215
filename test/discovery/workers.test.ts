import { readFileSync } from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import type { SandboxServer } from '../sandbox-orchestrator/server.ts';
import { scrape } from '../telemetry/read-metrics.ts';
import { runner, startOrchestrator } from './orchestrators.ts';

let cli: Cli | undefined;
let orchestrator: SandboxServer | undefined;
afterEach(async () => {
  cli?.child.kill('SIGKILL');
  await orchestrator?.close();
});

it('several workers: one asks, all answer, and go on when that one is killed', async () => {
  let asked = 0;
  orchestrator = await startOrchestrator({
    document(url) {
      asked += 1;
      return [{ address: url, runners: [runner] }];
    },
  });
  using folder = new Folder();
  const discovery = {
    orchestrators: [orchestrator.url],
    refreshIntervalMs: 3_500_000,
    maxAgeMs: 3_600_000,
    grants: ['127.0.0.0/8'],
    verifyTls: false,
  };
  const text = `${devConfig}discovery: ${JSON.stringify(discovery)}\n`;
  cli = new Cli(['serve', '--config', folder.write('signer.yaml', text)], {
    LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0',
    LIVEPEER_HSM_SIGNER__SERVER__WORKERS: '3',
  });
  const url = await cli.listening();

  // each connection goes to the next worker
  const askAll = () =>
    Promise.all(
      Array.from({ length: 9 }, async () => {
        const answer = await fetch(`${url}/discover-orchestrators`, {
          headers: { Connection: 'close' },
        });
        return { status: answer.status, text: await answer.text() };
      }),
    );
  let answers: Awaited<ReturnType<typeof askAll>> = [];
  await vi.waitFor(
    async () => {
      answers = await askAll();
      expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    },
    { timeout: 20_000, interval: 50 },
  );
  expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
  expect(JSON.parse(answers[0]?.text ?? '')).toMatchObject([{ address: orchestrator.url }]);
  expect(asked).toBe(1);
  const metrics = await scrape(await cli.adminListening());
  const labels = { dependency: 'discovery', outcome: 'ok' };
  // its info and its document
  expect(metrics.sum('livepeer_hsm_signer_dependency_duration_seconds_count', labels)).toBe(2);

  const { pid } = cli.child;
  const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  const asking = workers.filter(Boolean).map(Number)[0] ?? 0;
  process.kill(asking, 'SIGKILL');
  await vi.waitFor(() => expect(cli?.stderr).toContain('worker ended; it will be replaced'), {
    timeout: 20_000,
    interval: 20,
  });
  const statuses = (await askAll()).map((answer) => answer.status);
  expect(new Set(statuses)).toEqual(new Set([200]));
  await vi.waitFor(() => expect(asked).toBe(2), { timeout: 20_000, interval: 50 });
});
