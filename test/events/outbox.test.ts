import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { readBatch } from '../../src/events/outbox.ts';
import type { Position } from '../../src/events/positions.ts';
import { TestLog, fileHandlePrototype, filesOf, recordsOf } from '../audit/test-log.ts';
import { expectFailure, readRecords } from '../guardrails/evidence.ts';
import { firstPayment, nextPayment, startGuardedSigner } from '../guardrails/guarded-signer.ts';
import { expectPaid } from '../payments/expectations.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const withEvent = (id: string) => ({ kind: 'signed', use: id, event: JSON.stringify({ id }) });
const unavailable = { code: 'AUDIT_UNAVAILABLE' };

/** Reads a chain's events from where it stopped, by their ids. */
class Reader {
  readonly #chain: string;
  #position: Position = { file: 1, offset: 0 };

  constructor(chain: string) {
    this.#chain = chain;
  }

  async read(): Promise<string[]> {
    const ids: string[] = [];
    for (;;) {
      const { events, end } = await readBatch(this.#chain, this.#position);
      ids.push(...events.map(({ id }) => id));
      if (end.file === this.#position.file && end.offset === this.#position.offset) return ids;
      this.#position = end;
    }
  }
}

/** Has the next call of the disk fail, after it has done its work. */
async function failOnce(call: 'write' | 'datasync' | 'truncate', hasEffect = true): Promise<void> {
  type Call = (this: FileHandle, ...args: unknown[]) => Promise<unknown>;
  const handles = (await fileHandlePrototype()) as unknown as Record<typeof call, Call>;
  const original = handles[call];
  vi.spyOn(handles, call).mockImplementationOnce(async function (this: FileHandle, ...args) {
    if (hasEffect) await original.apply(this, args);
    throw Object.assign(new Error('EIO'), { code: 'EIO' });
  });
}

describe('the events of a log that is being written', () => {
  it('are those that are on the disk for good', async () => {
    await using test = new TestLog();
    const log = await test.open();
    const reader = new Reader(test.chain);
    const synced = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    vi.spyOn(await fileHandlePrototype(), 'datasync').mockImplementationOnce(() => {
      begun.resolve(undefined);
      return synced.promise;
    });
    const appended = log.append(withEvent('1'));
    await begun.promise;
    expect(recordsOf(test.chain).at(-1)).toMatchObject({ use: '1' });
    expect(await reader.read()).toEqual([]);
    synced.resolve(undefined);
    await appended;
    expect(await reader.read()).toEqual(['1']);
  });

  it.each([true, false])(
    'are none of a payment that was refused, and all that follow (cut off at once: %s)',
    async (isCutAtOnce) => {
      await using test = new TestLog();
      const log = await test.open();
      const reader = new Reader(test.chain);
      await log.append(withEvent('1'));
      expect(await reader.read()).toEqual(['1']);
      const [file = ''] = filesOf(test.chain);
      const { size } = statSync(file);
      await failOnce('write');
      if (!isCutAtOnce) await failOnce('truncate', false);
      await expect(log.append(withEvent('refused'))).rejects.toMatchObject(unavailable);
      if (isCutAtOnce) expect(statSync(file).size).toBe(size);
      else expect(statSync(file).size).toBeGreaterThan(size);
      expect(await reader.read()).toEqual([]);
      for (const id of ['2', '3']) await log.append(withEvent(id));
      expect(await reader.read()).toEqual(['2', '3']);
      expect(await verifyChain(test.chain)).toMatchObject({ tornBytes: 0 });
    },
  );

  it('follow one another from file to file, also where no end is noted, as in earlier releases', async () => {
    await using test = new TestLog();
    const log = await test.open(500);
    const ids = Array.from({ length: 6 }, (_, index) => String(index));
    const reader = new Reader(test.chain);
    for (const id of ids) {
      await log.append(withEvent(id));
      expect(await reader.read()).toEqual([id]);
    }
    expect(filesOf(test.chain).length).toBeGreaterThan(2);
    await test.closeAll();
    rmSync(join(test.chain, 'end.json'));
    expect(await new Reader(test.chain).read()).toEqual(ids);
  });

  it('are those of a writer that is no more too, which has not come to note them', async () => {
    await using test = new TestLog();
    const log = await test.open();
    await log.append(withEvent('1'));
    const note = join(test.chain, 'end.json');
    const before = readFileSync(note);
    await log.append(withEvent('2'));
    await test.closeAll();
    writeFileSync(note, before);
    const reader = new Reader(test.chain);
    expect(await reader.read()).toEqual(['1']);
    const [file = ''] = filesOf(test.chain);
    const aMinuteAgo = Date.now() / 1000 - 61;
    utimesSync(file, aMinuteAgo, aMinuteAgo);
    expect(await reader.read()).toEqual(['2']);
  });
});

it('a payment whose record the disk may have failed to keep is refused, counted, and has its event', async () => {
  const policy =
    'default: allow\nrules: [{ id: hourly, window: { per: all, every: 1h, tickets: 5 } }]';
  const settings = { events: { file: { path: '/nowhere/events' } } };
  await using stack = new AsyncDisposableStack();
  const signer = stack.adopt(await startGuardedSigner({ policy, settings }), (one) => one.close());
  const paid = await signer.post(await firstPayment(1));
  const { sealed } = expectPaid(paid);
  // the session has its credentials by now: the record of the tickets is the only one that is synced
  await failOnce('datasync');
  const refused = await signer.post(await nextPayment(sealed, 3));
  expectFailure(signer, refused, 503, 'AUDIT_UNAVAILABLE');
  const paidAgain = await signer.post(await firstPayment(1));
  expectPaid(paidAgain);
  expect((await signer.post(await firstPayment(1))).status).toBe(429);
  const events = readRecords(join(signer.folder, 'audit')).flatMap(({ event }) =>
    typeof event === 'string' ? [JSON.parse(event) as { data: { request_id: string } }] : [],
  );
  expect(events.map(({ data }) => data.request_id)).toEqual(
    [paid, refused, paidAgain].map(({ headers }) => headers.get('x-request-id')),
  );
});
