import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltClient, buildClient } from './build-client.ts';
import { ClientLab } from './lab.ts';
import type { LabReport, LabWorld } from './portable/lab-client.ts';

const deaths = 4;

let client: BuiltClient;
let lab: ClientLab;
let program: string;

beforeAll(async () => {
  [client, lab] = await Promise.all([buildClient(), ClientLab.start()]);
  program = join(client.folder, 'payer.mjs');
  const entry = resolve(import.meta.dirname, 'portable/payer.ts');
  await writeFile(program, await client.bundle(entry, 'node'));
});

afterAll(async () => {
  await lab.close();
  await client.remove();
});

/** Runs the payer until it has printed `lines` lines, then kills it; to its end without a number. */
async function runPayer(args: readonly string[], lines?: number): Promise<NodeJS.Signals | null> {
  const payer = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seen = 0;
  payer.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString().split('\n').length - 1;
    if (lines !== undefined && seen >= lines) payer.kill('SIGKILL');
  });
  return new Promise((done) => payer.once('close', (_, signal) => done(signal)));
}

describe('a process that pays', () => {
  it('is killed again and again, and the next one goes on from its snapshot', async () => {
    const opened = await fetch(`${lab.url}/worlds`, { method: 'POST' });
    const { url } = (await opened.json()) as LabWorld;
    const file = join(client.folder, 'snapshot.json');
    for (let death = 1; death <= deaths; death += 1) {
      // after so many saves: while it asks, after the answer, after the delivery, while it asks again
      expect(await runPayer([url, file, '1000'], death)).toBe('SIGKILL');
      expect(existsSync(file)).toBe(true);
    }
    expect(await runPayer([url, file, '3'])).toBeNull();
    const asked = await fetch(`${url}/control`, { method: 'POST', body: '{"do":"report"}' });
    const { orchestrators, keyCalls } = (await asked.json()) as LabReport;
    const { live } = orchestrators;
    expect(live?.sessions).toHaveLength(1);
    expect(live?.droppedSessions).toEqual([]);
    const reasons = live?.rejections.map(({ reason }) => reason) ?? [];
    expect(reasons.filter((reason) => !reason.includes('already seen'))).toEqual([]);
    // every signature but that of the credentials is a ticket that was taken: none lost, none made twice
    expect(keyCalls).toBe((live?.acceptedTickets ?? 0) + 1);
    expect(JSON.parse(readFileSync(file, 'utf8'))).not.toHaveProperty('undelivered');
  }, 120_000);
});
