import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTime } from '../../src/cli/arguments.ts';
import { Cli, root, run } from '../cli/cli.ts';
import { TestLog, filesOf, numbered, recordsOf } from './test-log.ts';

describe('audit', () => {
  let test: TestLog;

  beforeAll(async () => {
    test = new TestLog();
    const log = await test.open();
    await log.write({
      kind: 'key-use',
      use: 'a-1',
      principal: '=cmd()',
      tenant: '',
      digests: ['01'.repeat(32), '02'.repeat(32)],
      rules: ['one', 'two'],
      amounts: { evWei: '123456789012345678901234567890' },
      subject: { app: 'a,"b"\u001b[31m\n' },
    });
    for (let number = 0; number < 300; number += 1) await log.write(numbered(number));
    await test.closeAll();
    const commands = new TestLog();
    await commands.open(65_536, test.folder, 'cli');
    await commands[Symbol.asyncDispose]();
  });

  afterAll(() => test[Symbol.asyncDispose]());

  describe('verify', () => {
    it('tells where each chain begins and ends, of a line that is being written, and where a hash noted elsewhere is', async () => {
      const file = filesOf(test.chain).at(-1) ?? '';
      const whole = readFileSync(file, 'utf8');
      const records = recordsOf(test.chain);
      const [first, last] = [records[0], records.at(-1)];
      const noted = records[99]?.hash ?? '';
      appendFileSync(file, '{"seq":303,"ti');
      const { status, stdout, stderr } = await run([
        ...['audit', 'verify', test.folder],
        ...['--includes', noted.toUpperCase()],
      ]);
      writeFileSync(file, whole);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(/^chain {4}cli: intact\nrecords {2}1 in 1 file\n/);
      expect(stdout).toContain(
        `chain    server-1: intact\nrecords  302 in 2 files\n` +
          `first    1  ${first?.time}  ${first?.hash}\nlast     302  ${last?.time}  ${last?.hash}\n` +
          'note     the last line (14 bytes) is not whole',
      );
      expect(stdout).toMatch(/\nincludes {2}server-1 record 100\n$/);
    });

    it('ends with 1 and names the first broken record, after the other chains, and a hash that is nowhere', async () => {
      const file = filesOf(test.chain)[0] ?? '';
      const whole = readFileSync(file, 'utf8');
      writeFileSync(file, whole.replace('"use":"50"', '"use":"51"'));
      const unknown = 'ab'.repeat(32);
      const { status, stdout, stderr } = await run([
        ...['audit', 'verify', test.folder],
        ...['--includes', unknown],
      ]);
      writeFileSync(file, whole);
      expect(status).toBe(1);
      expect(stderr).toBe(
        `livepeer-hsm-signer: chain server-1 is broken: ${file} line 53: its hash is not that of its content\n` +
          `livepeer-hsm-signer: ${unknown} is not the hash of any record\n`,
      );
      expect(stdout).toContain('cli: intact');
    });

    it('wants a folder with an audit log in it', async () => {
      const { status, stderr } = await run(['audit', 'verify', `${test.folder}/none`]);
      expect(status).toBe(2);
      expect(stderr).toContain(`${test.folder}/none can't be read: it does not exist`);
    });
  });

  describe('tail', () => {
    it('refuses a kind that no record is of, and tells which there are', async () => {
      const page = readFileSync(join(root, 'docs/audit.md'), 'utf8');
      const [, table = ''] = page.split('| kind | written | fields |\n');
      const rows = table.split('\n\n')[0]?.split('\n') ?? [];
      const kinds = rows.flatMap((row) => row.split(' | ')[0]?.match(/[a-z][a-z-]+/g) ?? []);
      const { status, stdout, stderr } = await run([
        'audit',
        'tail',
        test.folder,
        '--kind',
        'deny',
      ]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      const allowed = /Allowed choices are (.*)\./.exec(stderr)?.[1]?.split(', ') ?? [];
      expect(allowed.toSorted()).toEqual(kinds.toSorted());
    });

    it('prints the last records of all chains in the order of their times, and nothing that could act on a terminal', async () => {
      const { status, stdout } = await run(['audit', 'tail', test.folder, '--lines', '302']);
      expect(status).toBe(0);
      const lines = stdout.trimEnd().split('\n');
      expect(lines).toHaveLength(302);
      expect(lines[0]).toContain(
        ` server-1#2 key-use use=a-1 principal==cmd() digests=${'01'.repeat(32)},${'02'.repeat(32)} rules=one,two ` +
          'amounts.evWei=123456789012345678901234567890 subject.app="a,\\"b\\"\\u001b[31m\\n"',
      );
      expect(lines.at(-3)).toMatch(
        /^\S+Z server-1#301 signed use=298 digests=(ab){32} signatures=1$/,
      );
      expect(lines.at(-2)).toMatch(/^\S+Z server-1#302 signed use=299/);
      expect(lines.at(-1)).toMatch(/^\S+Z cli#1 start version=1.2.3 cutBytes=0$/);
      expect(stdout).not.toContain('\u001b');
    });

    it('follows a log while it is written, over the end of a file, and chains that are new', async () => {
      await using written = new TestLog();
      const log = await written.open();
      const cli = new Cli(['audit', 'tail', written.folder, '--follow']);
      const output = createInterface({ input: cli.child.stdout ?? process.stdin });
      const lines = output[Symbol.asyncIterator]();
      const next = async (): Promise<string> => String((await lines.next()).value);
      try {
        expect(await next()).toContain('server-1#1 start');
        for (let number = 0; number < 600; number += 1) await log.write(numbered(number));
        for (let number = 0; number < 600; number += 1) {
          expect(await next()).toContain(`server-1#${number + 2} signed use=${number} `);
        }
        expect(filesOf(written.chain).length).toBeGreaterThan(2);
        await written.open(65_536, written.folder, 'server-2');
        expect(await next()).toContain('server-2#1 start');
        await log.write(numbered(600));
        expect(await next()).toContain('server-1#602 signed use=600 ');
      } finally {
        cli.child.kill();
        await cli.ended();
      }
    });
  });

  describe('export', () => {
    it('gives the records from one time on and before another', async () => {
      const records = recordsOf(test.chain);
      const from = records[100]?.time ?? '';
      const to = records.at(-1)?.time ?? '';
      const { stdout } = await run(['audit', 'export', test.chain, '--from', from, '--to', to]);
      const expected = records.filter(({ time }) => time >= from && time < to);
      const lines = stdout.split('\n').slice(0, -1);
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(expected);
      expect(parseTime('2026-11-20T17:00+01:00')).toBe(Date.UTC(2026, 10, 20, 16));
      for (const wrong of ['yesterday', '2026-13-01', '1763654400']) {
        expect(() => parseTime(wrong)).toThrow('Expected a time');
      }
    });

    it('gives rows for spreadsheets, which take nothing in them for a formula', async () => {
      const { status, stdout } = await run(['audit', 'export', test.folder, '--format', 'csv']);
      expect(status).toBe(0);
      const rows = stdout.split('\n');
      expect(rows[0]).toMatch(/^chain,seq,time,kind,use,request,principal,tenant,.*,hash,more$/);
      expect(rows[1]).toMatch(/^cli,1,\S+Z,start,.*,"\{""version"":""1.2.3"",""cutBytes"":0\}"$/);
      expect(rows[3]).toContain(`,key-use,a-1,,'=cmd(),,`);
      expect(rows[3]).toContain(`,one two,,${'01'.repeat(32)} ${'02'.repeat(32)},`);
      expect(rows[3]).toContain(`"{""evWei"":""123456789012345678901234567890""}"`);
      expect(rows).toHaveLength(1 + 303 + 1);
    });

    it('gives records as they are, and ends with 1 at a broken one', async () => {
      const file = filesOf(test.chain)[1] ?? '';
      const whole = readFileSync(file, 'utf8');
      const [first = '', second = '', ...others] = whole.split('\n');
      writeFileSync(file, [second, first, ...others].join('\n'));
      const { status, stdout, stderr } = await run(['audit', 'export', test.chain]);
      writeFileSync(file, whole);
      expect(status).toBe(1);
      expect(stdout).toBe(readFileSync(filesOf(test.chain)[0] ?? '', 'utf8'));
      expect(stderr).toContain(`${file} line 1: record `);
    });
  });

  it('reads the log of a signer that is writing it', async () => {
    await using written = new TestLog();
    const log = await written.open();
    const verifying = [0, 1].map(() => run(['audit', 'verify', written.folder]));
    const ended = Promise.all(verifying).then((runs) => runs.map(({ status }) => status));
    let statuses: (number | null)[] | undefined;
    void ended.then((all) => (statuses = all));
    for (let number = 0; !statuses; number += 1) await log.append(numbered(number));
    expect(statuses).toEqual([0, 0]);
  });
});
