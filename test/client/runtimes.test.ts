import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltClient, buildClient } from './build-client.ts';
import { ClientLab } from './lab.ts';
import type { CaseResult } from './portable/expect.ts';

const run = promisify(execFile);
const tools = resolve(import.meta.dirname, 'tools/node_modules');

/** Each with the arguments that have it run a module. */
const programs = [
  { name: 'Node 20', file: join(tools, 'node-20/bin/node'), args: [], version: /^v20\./ },
  { name: 'Node 22', file: join(tools, 'node-22/bin/node'), args: [], version: /^v22\./ },
  { name: 'Node 24', file: process.execPath, args: [], version: /^v24\./ },
  { name: 'Deno', file: join(tools, 'deno/deno'), args: ['run', '-A'], version: /^deno \d/ },
  { name: 'Bun', file: join(tools, 'bun/bin/bun'), args: [], version: /^\d/ },
];

let client: BuiltClient;
let lab: ClientLab;
let program: string;
/** The names of the cases that ran, by where they ran. */
const ran = new Map<string, readonly string[]>();

beforeAll(async () => {
  [client, lab] = await Promise.all([buildClient(), ClientLab.start()]);
  program = join(client.folder, 'cases.mjs');
  await writeFile(program, await client.bundle(portable('program.ts'), 'node'));
  const content = await client.bundle(portable('page.ts'), 'browser');
  lab.pages.set('/cases.js', { type: 'text/javascript', content });
  lab.pages.set('/', { type: 'text/html', content: '<script type=module src=cases.js></script>' });
});

afterAll(async () => {
  await lab.close();
  await client.remove();
});

function portable(file: string): string {
  return resolve(import.meta.dirname, 'portable', file);
}

function expectAllPassed(where: string, results: readonly CaseResult[]): void {
  ran.set(
    where,
    results.map(({ name }) => name),
  );
  expect(results.filter(({ failure }) => failure !== undefined)).toEqual([]);
  expect(results.length).toBeGreaterThan(40);
}

describe('the client', () => {
  it.each(programs)(
    'does the same in $name',
    async ({ name, file, args, version }) => {
      expect((await run(file, ['--version'])).stdout).toMatch(version);
      const { stdout } = await run(file, [...args, program, lab.url], {
        maxBuffer: 64 * 1024 * 1024,
      });
      expectAllPassed(name, JSON.parse(stdout) as CaseResult[]);
    },
    120_000,
  );

  it('does the same in a page of Chromium', async () => {
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox'],
    });
    try {
      const page = await browser.newPage();
      await page.goto(`${lab.url}/`);
      const results = await page.evaluate(
        (url) =>
          (globalThis as unknown as { runCases: (url: string) => Promise<CaseResult[]> }).runCases(
            url,
          ),
        lab.url,
      );
      expectAllPassed('Chromium', results);
    } finally {
      await browser.close();
    }
  }, 120_000);

  it('ran the same cases everywhere, but for those of the entry for Node', () => {
    expect([...ran.keys()]).toEqual([...programs.map(({ name }) => name), 'Chromium']);
    const inPage = ran.get('Chromium') ?? [];
    for (const names of ran.values()) expect(names.slice(0, inPage.length)).toEqual(inPage);
    expect(new Set([...ran.values()].map((names) => names.length)).size).toBe(2);
  });
});
