import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
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

const inPage = 'Chromium';

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

/** Runs the cases in the program of that name. */
async function runIn(name: string, sessions: number): Promise<readonly CaseResult[]> {
  if (name === inPage) return runInPage(sessions);
  const { file = '', args = [], version } = programs.find((each) => each.name === name) ?? {};
  expect((await run(file, ['--version'])).stdout).toMatch(version ?? /^$/);
  const { stdout } = await run(file, [...args, program, lab.url, `${sessions}`], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return JSON.parse(stdout) as CaseResult[];
}

async function runInPage(sessions: number): Promise<readonly CaseResult[]> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${lab.url}/`);
    return await page.evaluate(
      ([url, count]) =>
        (
          globalThis as unknown as {
            runCases: (url: string, sessions: number) => Promise<CaseResult[]>;
          }
        ).runCases(url, count),
      [lab.url, sessions] as const,
    );
  } finally {
    await browser.close();
  }
}

/**
 * The same cases in every runtime; `sessionsIn` tells how many sessions the largest case pays at once there.
 */
export function describeRuntimes(sessionsIn: (name: string) => number): void {
  const names = [...programs.map(({ name }) => name), inPage];

  it.each(names)(
    'does the same in %s',
    async (name) => {
      expectAllPassed(name, await runIn(name, sessionsIn(name)));
    },
    600_000,
  );

  it('ran the same cases everywhere, but for those of the entry for Node', () => {
    expect([...ran.keys()]).toEqual(names);
    const casesOfPage = ran.get(inPage) ?? [];
    for (const each of ran.values()) {
      expect(each.slice(0, casesOfPage.length)).toEqual(casesOfPage);
    }
    expect(new Set([...ran.values()].map((each) => each.length)).size).toBe(2);
  });
}
