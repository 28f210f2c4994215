import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import { stopUnderLoad } from './stop-under-load.ts';

describe('SIGTERM under load on kept connections', () => {
  it('turns readiness red, has clients leave, and resets nobody', async () => {
    using folder = new Folder();
    const config = folder.write('signer.yaml', devConfig);
    for (const settleMs of [60, 83, 101]) {
      const { answers, keptOpen, failures, ended } = await stopUnderLoad(config, settleMs);
      expect(failures).toEqual([]);
      expect(keptOpen).toBe(0);
      expect(answers).toBeGreaterThan(6);
      expect(ended).toMatchObject({ status: 0, signal: null });
    }
  });
});

describe.each(['SIGUSR1', 'SIGUSR2'] as const)('%s', (signal) => {
  it.each([1, 2])('opens no debugger and ends nothing, with %i processes', async (workers) => {
    using folder = new Folder();
    const cli = new Cli(['serve', '--config', folder.write('signer.yaml', devConfig)], {
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0',
      LIVEPEER_HSM_SIGNER__SERVER__WORKERS: `${workers}`,
    });
    const url = await cli.listening();
    const { pid = 0 } = cli.child;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    const processes = [pid, ...children.filter(Boolean).map(Number)];
    if (workers > 1) expect(processes).toHaveLength(1 + workers);
    for (const one of processes) process.kill(one, signal);
    for (let ask = 0; ask < 4; ask += 1) {
      const headers = { Connection: 'close' };
      expect((await fetch(`${url}/healthz`, { headers })).status).toBe(200);
    }
    cli.child.kill('SIGTERM');
    const { status, stderr } = await cli.ended();
    expect(status).toBe(0);
    expect(stderr).not.toMatch(/debugger|inspector/i);
    expect(stderr).not.toContain('worker ended');
  });
});
