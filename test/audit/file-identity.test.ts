import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BrokenChainError, verifyChain } from '../../src/audit/verify-chain.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { SmallDisk } from './small-disk.ts';
import { filesOf, recordsOf } from './test-log.ts';

let folder: string;
let chain: string;
/** the only file of the chain, and its content as the last stopped signer left it */
let file: string;
let earlier: Buffer;

const request = payableRequest();
const running: TestSigner[] = [];

async function start(path = folder): Promise<TestSigner> {
  const signer = await startTestSigner({ settings: { audit: { path } } });
  running.push(signer);
  return signer;
}

async function stop(): Promise<void> {
  for (const signer of running.splice(0)) await signer.close();
}

/** The status of a payment, and of the question for readiness. */
async function statusesOf(signer: TestSigner): Promise<{ payment: number; ready: number }> {
  const payment = await signer.post(request);
  return { payment: payment.status, ready: (await fetch(`${signer.url}/readyz`)).status };
}

const well = { payment: 200, ready: 200 };
const red = { payment: 503, ready: 503 };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-audit-'));
  chain = join(folder, 'server-1');
  file = join(chain, '000001.jsonl');
  await start();
  await stop();
  earlier = readFileSync(file);
});

afterEach(async () => {
  await stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What somebody may do to the file, after which some of its records are not there. */
const losses: Readonly<Record<string, () => void>> = {
  'is deleted': () => rmSync(file),
  'is emptied': () => truncateSync(file),
  'is cut off at the end of a line': () => truncateSync(file, earlier.length),
  'is cut off within a line': () => truncateSync(file, earlier.length - 10),
  'is renamed': () => renameSync(file, `${file}.1`),
  'is renamed and made anew, as logrotate does': () => {
    renameSync(file, `${file}.1`);
    writeFileSync(file, '');
  },
  'is copied and emptied, as logrotate does with copytruncate': () => {
    copyFileSync(file, `${file}.1`);
    truncateSync(file);
  },
  'is overwritten with an earlier copy': () => writeFileSync(file, earlier),
  'is replaced by an earlier copy': () => {
    writeFileSync(`${file}.copy`, earlier);
    renameSync(`${file}.copy`, file);
  },
  'is deleted, and its number given to an empty one': () => {
    rmSync(file);
    writeFileSync(file, '');
  },
};

describe.each(Object.entries(losses))('an audit file that %s', (_, lose) => {
  it('stops payments and turns readiness red, and is not gone on with after a restart', async () => {
    const signer = await start();
    expect(await statusesOf(signer)).toEqual(well);
    lose();
    expect(await statusesOf(signer)).toEqual(red);
    expect(await statusesOf(signer)).toEqual(red);
    await stop();
    await expect(start()).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
    await expect(verifyChain(chain)).rejects.toThrow(BrokenChainError);
  });

  it('while nothing runs has no second chain begun, and is not called intact', async () => {
    const signer = await start();
    expect(await statusesOf(signer)).toEqual(well);
    await stop();
    lose();
    await expect(start()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining(file) as string,
    });
    await expect(verifyChain(chain)).rejects.toThrow(BrokenChainError);
    expect(filesOf(chain).filter((path) => path !== file)).toEqual([]);
  });
});

/** What leaves all records where they were. */
const copies: Readonly<Record<string, () => void>> = {
  'is replaced by a copy of itself': () => {
    copyFileSync(file, `${file}.copy`);
    renameSync(`${file}.copy`, file);
  },
  'is edited in place by a tool that writes a new file': () => {
    const { mtime } = statSync(file);
    renameSync(file, `${file}~`);
    writeFileSync(file, readFileSync(`${file}~`));
    expect(statSync(file).mtime >= mtime).toBe(true);
  },
};

describe.each(Object.entries(copies))('an audit file that %s', (_, copy) => {
  it('stops payments; a restart verifies it as a whole, goes on with it, and records that', async () => {
    const signer = await start();
    expect(await statusesOf(signer)).toEqual(well);
    copy();
    expect(await statusesOf(signer)).toEqual(red);
    await stop();
    const records = recordsOf(chain).length;
    expect(await statusesOf(await start())).toEqual(well);
    await stop();
    expect(recordsOf(chain)[records]).toMatchObject({ kind: 'start', doubt: 'another-file' });
    expect(recordsOf(chain)[0]).not.toHaveProperty('doubt');
    expect(await verifyChain(chain)).toMatchObject({ tornBytes: 0 });
  });

  it('with an early record changed is not gone on with', async () => {
    const signer = await start();
    expect(await statusesOf(signer)).toEqual(well);
    await stop();
    copy();
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('"cutBytes":0', '"cutBytes":1'));
    await expect(start()).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: expect.stringContaining('its hash is not that of its content') as string,
    });
  });
});

it('an audit file that is renamed and comes back is gone on with, without a restart', async () => {
  const signer = await start();
  renameSync(file, `${file}.1`);
  expect(await statusesOf(signer)).toEqual(red);
  renameSync(`${file}.1`, file);
  await expect.poll(() => statusesOf(signer), { timeout: 10_000 }).toEqual(well);
  await stop();
  expect(recordsOf(chain).find(({ kind }) => kind === 'resume')).toMatchObject({
    reason: `${file} was renamed or moved away`,
  });
  expect(await verifyChain(chain)).toMatchObject({ tornBytes: 0 });
});

it('an audit file that somebody else writes to is brought back to the records of the signer', async () => {
  const signer = await start();
  writeFileSync(file, '{"seq":99}\n', { flag: 'a' });
  expect(await statusesOf(signer)).toMatchObject({ payment: 503 });
  await expect.poll(() => statusesOf(signer), { timeout: 10_000 }).toEqual(well);
  await stop();
  expect(await verifyChain(chain)).toMatchObject({ tornBytes: 0 });
});

it('a chain from before ends were noted is verified as a whole when it is opened', async () => {
  const records = recordsOf(chain).length;
  rmSync(join(chain, 'end.json'));
  expect(await statusesOf(await start())).toEqual(well);
  await stop();
  expect(recordsOf(chain)[records]).toMatchObject({ kind: 'start', doubt: 'end-unknown' });
});

it.each([1, 8, 40, 90, 383, 400])(
  'a chain whose end was being noted when the power went, %i bytes into it, goes on after a verification of the whole',
  async (written) => {
    const note = join(chain, 'end.json');
    const old = readFileSync(note);
    expect(await statusesOf(await start())).toEqual(well);
    await stop();
    const records = recordsOf(chain).length;
    const torn = Buffer.concat([readFileSync(note).subarray(0, written), old.subarray(written)]);
    writeFileSync(note, torn);
    expect(await statusesOf(await start())).toEqual(well);
    await stop();
    expect(recordsOf(chain)[records]).toMatchObject({ kind: 'start' });
    expect(await verifyChain(chain)).toMatchObject({ tornBytes: 0 });
  },
);

it('a full disk stops payments and has no second chain begun: with room again, the next start goes on', async () => {
  using disk = new SmallDisk(256);
  const signer = await start(disk.path);
  expect(await statusesOf(signer)).toEqual(well);
  disk.fill(0);
  await expect.poll(() => statusesOf(signer), { timeout: 20_000 }).toEqual(red);
  await stop();
  // a page may have room for the first records still
  await expect
    .poll(() => start(disk.path).then(stop, (error: unknown) => error), { timeout: 20_000 })
    .toMatchObject({ code: 'AUDIT_UNAVAILABLE' });
  disk.makeRoom();
  expect(await statusesOf(await start(disk.path))).toEqual(well);
  await stop();
  expect(await verifyChain(join(disk.path, 'server-1'))).toMatchObject({ tornBytes: 0 });
});

it('only its owner may read and write the lock of a chain', () => {
  expect(statSync(join(chain, 'lock')).mode & 0o777).toBe(0o600);
});
