import { readdirSync, statSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LedgerFile } from '../../src/policy/limits/embedded/ledger-file.ts';
import { openSwitchFile, switchFileName } from '../../src/policy/switch/switch-file.ts';
import { writePositions } from '../../src/events/positions.ts';
import { createFileSink } from '../../src/events/sinks/file.ts';
import { Folder } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startTestSigner } from '../support/test-signer.ts';
import { type DiskCall, TestLog, numbered, watchDisk } from './test-log.ts';

afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

/** Works with other rights taken from what is made. */
async function withMask(mask: number, work: () => Promise<void>): Promise<void> {
  const usual = process.umask(mask);
  await work().finally(() => process.umask(usual));
}

/** The rights of all that is in a folder, and in those within. */
function modesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    names.map((name) => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)]),
  );
}

const pause = { by: 'me', reason: 'a test', since: '2026-01-01T00:00:00Z' };
const never = new AbortController().signal;
const event = { id: '1', value: '{}', time: '2026-01-01T00:00:00Z' };

describe('what is written for good', () => {
  it('may be read by the group, and written by nobody else, whatever the umask', async () => {
    using folder = new Folder();
    await using test = new TestLog();
    await withMask(0, async () => {
      await test.open(65_536, join(folder.path, 'audit'));
      await writePositions(join(folder.path, 'audit/delivered/file.json'), {});
      await createFileSink({ path: join(folder.path, 'events') }).send([event], never);
      await openSwitchFile(join(folder.path, 'switch')).write(pause);
    });
    // SQLite gives what it adds the rights of its database
    expect(modesIn(folder.path)).toMatchObject({
      audit: '750',
      'audit/delivered': '750',
      'audit/delivered/file.json': '640',
      'audit/server-1': '750',
      'audit/server-1/000001.jsonl': '640',
      'audit/server-1/end.json': '640',
      'audit/server-1/lock': '600',
      events: '640',
      switch: '750',
      // anybody who may enter the folder may know
      [`switch/${switchFileName}`]: '644',
    });
  });

  it('has its mode also where the umask would take it away', async () => {
    using folder = new Folder();
    await withMask(0o077, () => openSwitchFile(folder.path).write(pause));
    expect(modesIn(folder.path)).toEqual({ [switchFileName]: '644' });
  });

  it.each<[string, (folder: string) => unknown]>([
    [
      'the audit log',
      async (folder) => {
        await using test = new TestLog();
        await test.open(65_536, dirname(folder), basename(folder));
      },
    ],
    ['the spend ledger', (folder) => new LedgerFile(folder).close()],
    ['the switch', (folder) => openSwitchFile(folder).write(pause)],
    ['positions of events', (folder) => writePositions(join(folder, 'file.json'), {})],
  ])('is in folders that are on the disk, each in the one above: %s', async (_, write) => {
    using folder = new Folder();
    const paths = ['', 'a', 'a/b', 'a/b/c'].map((path) => join(folder.path, path));
    const calls: DiskCall[] = [];
    await watchDisk(calls);
    await write(paths[3] ?? '');
    const synced = calls.filter(({ call }) => call === 'fsync').map(({ path }) => path);
    expect(synced.sort()).toEqual(paths.slice(0, 3));
  });
});

describe('the audit log', () => {
  it('has each file in its folder before a record is in it, and the file before on the disk as a whole', async () => {
    await using test = new TestLog();
    const calls: DiskCall[] = [];
    await watchDisk(calls);
    const log = await test.open();
    const file = (number: number): string => join(test.chain, `00000${number}.jsonl`);
    const firstOf = (call: string, path: string): number =>
      calls.findIndex((each) => each.call === call && each.path === path);
    expect(firstOf('sync', test.chain)).toBeGreaterThanOrEqual(0);
    expect(firstOf('write', file(1))).toBeGreaterThan(firstOf('sync', test.chain));
    calls.length = 0;
    // nobody waits for the disk
    for (let number = 0; firstOf('write', file(2)) < 0; number += 1)
      await log.write(numbered(number));
    const { size } = statSync(file(1));
    expect(calls.slice(0, firstOf('sync', test.chain))).toContainEqual(
      expect.objectContaining({ call: 'datasync', path: file(1), size }),
    );
    expect(firstOf('write', file(2))).toBeGreaterThan(firstOf('sync', test.chain));
  });

  const job = { id: 'j', capability: 'c', request: '', parameters: '', timeout_seconds: 1 };

  it.each([
    ['/generate-live-payment', payableRequest()],
    ['/sign-byoc-job', JSON.stringify(job)],
  ])(
    'has a use of the key in writing before the key is asked, and on the disk before its signature leaves: %s',
    async (path, body) => {
      using folder = new Folder();
      const steps: string[] = [];
      const calls: DiskCall[] = [];
      const file = join(folder.path, 'server-1', '000001.jsonl');
      const tell = ({ call, path, text }: DiskCall): string =>
        path === file
          ? [call, ...(text.match(/"kind":"[a-z-]+"/g) ?? [])].join(' ')
          : 'another file';
      const signer = await startTestSigner({
        settings: { audit: { path: folder.path }, byoc: { enabled: true } },
        reply: (bytes) => {
          steps.push(...calls.splice(0).map(tell), 'key');
          return { encoding: 'raw', bytes };
        },
      });
      // without the self-tests of the start
      steps.length = 0;
      await watchDisk(calls);
      const answer = await fetch(`${signer.url}${path}`, { method: 'POST', body });
      await answer.arrayBuffer();
      steps.push(...calls.splice(0).map(tell), 'answer');
      await signer.close();
      expect(answer.status).toBe(200);
      const own = steps.filter((step) => step !== 'another file');
      const first = own.indexOf('key');
      const last = own.lastIndexOf('key');
      const uses = own.join().match(/"kind":"key-use"/g)?.length;
      expect(uses).toBeGreaterThan(0);
      expect(
        own
          .slice(0, first)
          .join()
          .match(/"kind":"key-use"/g),
      ).toHaveLength(uses ?? 0);
      expect(own.slice(0, last).join()).not.toContain('"kind":"signed"');
      const signed = own.findLastIndex((step) => step.includes('"kind":"signed"'));
      expect(
        own
          .slice(signed)
          .join()
          .match(/"kind":"signed"/g),
      ).not.toBeNull();
      expect(own.slice(signed)).toContain('datasync');
      expect(own.at(-1)).toBe('answer');
    },
  );
});

describe('the switch', () => {
  it('has its content on the disk before its name leads to it, and then the name', async () => {
    using folder = new Folder();
    const calls: DiskCall[] = [];
    await watchDisk(calls);
    await openSwitchFile(folder.path).write(pause);
    const text = `${JSON.stringify(pause)}\n`;
    const path = join(folder.path, switchFileName);
    expect(calls.filter(({ call }) => call === 'sync')).toEqual([
      { call: 'sync', path: `${path}.${process.pid}`, text: '', size: text.length },
      expect.objectContaining({ call: 'sync', path: folder.path }),
    ]);
    calls.length = 0;
    await openSwitchFile(folder.path).write(undefined);
    expect(readdirSync(folder.path)).toEqual([]);
    expect(calls.map(({ call, path: synced }) => [call, synced])).toEqual([['sync', folder.path]]);
  });

  it('says that it can’t be written where its folder can’t be made', async () => {
    using folder = new Folder();
    folder.write('file', '');
    await expect(openSwitchFile(join(folder.path, 'file')).write(pause)).rejects.toMatchObject({
      code: 'SIGNING_SWITCH_UNAVAILABLE',
      retryable: true,
    });
  });
});

describe('events', () => {
  it('and how far they were delivered are on the disk before that is said', async () => {
    using folder = new Folder();
    const calls: DiskCall[] = [];
    await watchDisk(calls);
    const path = join(folder.path, 'events');
    await createFileSink({ path }).send([event], never);
    expect(
      calls.map(({ call, path: at, size }) => [call, at, call === 'datasync' && size]),
    ).toEqual([
      ['sync', folder.path, false],
      ['datasync', path, 3],
    ]);
    calls.length = 0;
    const positions = join(folder.path, 'file.json');
    await writePositions(positions, { a: { file: 1, offset: 2 } });
    expect(
      calls.map(({ call, path: at, size }) => [call, at, call === 'datasync' && size]),
    ).toEqual([
      ['datasync', `${positions}.new`, statSync(positions).size],
      ['sync', folder.path, false],
    ]);
  });
});
