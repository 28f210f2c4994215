import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type EmbeddedLedgerOptions,
  openEmbeddedLedger,
} from '../../../src/policy/limits/embedded/embedded-ledger.ts';
import type { SpendLedger, WindowCharge } from '../../../src/policy/limits/ledger.ts';
import { LedgerThread } from '../../../src/policy/limits/embedded/ledger-thread.ts';
import { type FileRequest, LedgerFile } from '../../../src/policy/limits/embedded/ledger-file.ts';
import { hourMs, never, newWindow, oneTicket, requireReserved, spend } from './ledger-cases.ts';
import { createRandom } from '../../support/random.ts';

const random = createRandom('moments of kill');

const program = fileURLToPath(new URL('./spend-process.ts', import.meta.url));

let folder: string;
let opened: SpendLedger[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-ledger-'));
  opened = [];
});

afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await Promise.all(opened.map((ledger) => ledger.close()));
  await rm(folder, { recursive: true });
});

async function open(options: Partial<EmbeddedLedgerOptions> = {}): Promise<SpendLedger> {
  const ledger = await openEmbeddedLedger({ folder, log: () => undefined, ...options });
  opened.push(ledger);
  return ledger;
}

/** Another process that spends from the window; `granted` counts what it was told it may spend. */
function startSpending(window: WindowCharge, tickets: bigint, clients: number) {
  const args = [
    program,
    folder,
    `${clients}`,
    JSON.stringify({ ...window, limits: {}, tickets: `${tickets}` }),
  ];
  const child: ChildProcess = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const spending = { child, granted: 0, closed: once(child, 'close') };
  child.stdout?.on('data', (chunk: Buffer) => (spending.granted += chunk.length));
  return spending;
}

async function ticketsOf(ledger: SpendLedger, window: WindowCharge): Promise<number> {
  const [used] = await ledger.usage([window]);
  return Number(used?.tickets);
}

/** The threads that are started from now on, until the test is over. */
function watchThreads(): Worker[] {
  const threads: Worker[] = [];
  const add = (worker: Worker): void => void threads.push(worker);
  process.on('worker', add);
  onTestFinished(() => void process.off('worker', add));
  return threads;
}

describe('the thread of the embedded ledger', () => {
  const ended = {
    code: 'LEDGER_UNAVAILABLE',
    retryable: true,
    message: 'the thread of the spend ledger ended',
  };

  it('that died lets nothing be spent that it was asked for, and another goes on with the same counts', async () => {
    const threads = watchThreads();
    const window = newWindow({ limits: { tickets: 2n } });
    const ledger = await open();
    requireReserved(await ledger.reserve([window], oneTicket, never));
    using other = new DatabaseSync(join(folder, 'spend.sqlite'));
    other.exec('BEGIN IMMEDIATE');
    const asked = [1, 2, 3].map(() => ledger.reserve([window], oneTicket, never));
    const outcomes = Promise.allSettled(asked);
    expect(threads).toHaveLength(1);
    // the batch is with the thread after this turn
    await new Promise((resolve) => setImmediate(resolve));
    await threads[0]?.terminate();
    other.exec('ROLLBACK');
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: ended });
    }
    await ledger.checkHealth();
    expect(threads).toHaveLength(2);
    requireReserved(await ledger.reserve([window], oneTicket, never));
    expect((await ledger.reserve([window], oneTicket, never)).kind).toBe('exceeded');
  });

  it('that fails is told of in the log, and another takes its place', async () => {
    const threads = watchThreads();
    const lines: string[] = [];
    const ledger = await open({ log: (level, message) => lines.push(`${level} ${message}`) });
    const window = newWindow();
    const exited = new Promise((resolve) => threads[0]?.once('exit', resolve));
    // no batch: it is thrown where nobody catches it
    threads[0]?.postMessage(null);
    await exited;
    expect(lines).toEqual([
      expect.stringMatching(/^warn the spend ledger's thread failed: TypeError/),
    ]);
    requireReserved(await ledger.reserve([window], oneTicket, never));
    expect(await ledger.usage([window])).toEqual([oneTicket]);
    expect(threads).toHaveLength(2);
  });

  it('that died is not missed when the ledger is closed', async () => {
    const threads = watchThreads();
    const ledger = await open();
    await threads[0]?.terminate();
    await ledger.close();
    await expect(ledger.reserve([newWindow()], oneTicket, never)).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: 'the spend ledger is closed',
    });
    expect(threads).toHaveLength(1);
  });
});

describe('a question to the thread of the embedded ledger', () => {
  const usage = (window: WindowCharge): FileRequest => ({ kind: 'usage', counters: [window] });
  const log = (): void => undefined;
  const told = { name: 'RecordsError', code: 'LEDGER_UNAVAILABLE', retryable: true };
  const closed = { ...told, message: 'the spend ledger is closed', details: '' };

  /** A thread, and the transaction of another process that holds it up until it is let go. */
  function openHeld() {
    const thread = new LedgerThread({ folder, log, now: () => Date.now() });
    const other = new DatabaseSync(join(folder, 'spend.sqlite'));
    onTestFinished(async () => {
      if (other.isOpen) other.close();
      await thread.close();
    });
    return {
      thread,
      hold: () => other.exec('BEGIN IMMEDIATE'),
      letGo: () => other.exec('ROLLBACK'),
      endHolder: () => other.close(),
    };
  }
  /** What is asked is with the thread after this turn. */
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('is answered in one transaction with those of the same turn, 512 of them at most', async () => {
    const threads = watchThreads();
    const { thread } = openHeld();
    const batches: number[] = [];
    await thread.ask({ kind: 'check' }, never);
    const [worker = expect.unreachable()] = threads;
    const send = worker.postMessage.bind(worker);
    vi.spyOn(worker, 'postMessage').mockImplementation((message: { requests?: unknown[] }) => {
      batches.push(message.requests?.length ?? -1);
      send(message);
    });
    const window = newWindow();
    const reserve = { kind: 'reserve', charges: [window], spend: oneTicket } as const;
    const asked = Array.from({ length: 1_025 }, () =>
      thread.ask({ ...reserve, session: undefined }, never),
    );
    const kinds = new Set((await Promise.all(asked)).map(({ kind }) => kind));
    expect(kinds).toEqual(new Set(['reserved']));
    expect(batches).toEqual([512, 512, 1]);
    expect(await thread.ask(usage(window), never)).toEqual({
      kind: 'usage',
      spent: [spend({ tickets: 1_025n })],
    });
    await thread.close();
    expect(batches).toEqual([512, 512, 1, 1, -1]);
    expect(threads).toHaveLength(1);
  });

  it('that nobody waits for any more is not asked, or is answered to who takes late answers', async () => {
    const { thread, hold, letGo } = openHeld();
    await thread.ask({ kind: 'check' }, never);
    const window = newWindow();
    const reserve: FileRequest = {
      kind: 'reserve',
      charges: [window],
      spend: oneTicket,
      session: undefined,
    };
    const lates: string[] = [];
    const leaving = (name: string) => {
      const ending = new AbortController();
      const late = ({ kind }: { kind: string }): void => void lates.push(`${name} ${kind}`);
      return { ending, asked: thread.ask(reserve, ending.signal, late) };
    };
    hold();
    const sent = leaving('sent');
    const staying = thread.ask(reserve, never, () => lates.push('staying'));
    await turn();
    const queued = leaving('queued');
    sent.ending.abort(new Error('gone'));
    queued.ending.abort(new DOMException('late', 'TimeoutError'));
    await expect(sent.asked).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    await expect(queued.asked).rejects.toMatchObject({
      ...told,
      message: 'the spend ledger did not answer before the deadline',
    });
    letGo();
    expect((await staying).kind).toBe('reserved');
    expect(await thread.ask(usage(window), never)).toMatchObject({
      spent: [spend({ tickets: 2n })],
    });
    expect(lates).toEqual(['sent reserved']);
    const gone = AbortSignal.abort(new Error('gone'));
    await expect(thread.ask(reserve, gone)).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
  });

  it('that nobody waits for any more is answered to nobody where nobody takes late answers', async () => {
    const { thread, hold, letGo } = openHeld();
    await thread.ask({ kind: 'check' }, never);
    hold();
    const leaving = new AbortController();
    const left = thread.ask({ kind: 'check' }, leaving.signal);
    const staying = thread.ask({ kind: 'check' }, never);
    await turn();
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    letGo();
    expect(await staying).toEqual({ kind: 'done' });
  });

  it('leaves no listener on its signal, however it ends', async () => {
    const { thread, hold } = openHeld();
    const { signal } = new AbortController();
    await thread.ask({ kind: 'check' }, signal);
    hold();
    await expect(thread.ask({ kind: 'check' }, signal)).rejects.toMatchObject({
      ...told,
      message: expect.stringContaining('is held by another process') as string,
      details: 'database is locked',
    });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('is answered before it closes; later ones are refused, and what is told then is done', async () => {
    const { thread, endHolder } = openHeld();
    endHolder();
    const window = newWindow();
    const reserve = { kind: 'reserve', charges: [window], spend: oneTicket } as const;
    const asked = [1, 2].map(() => thread.ask({ ...reserve, session: undefined }, never));
    const release: FileRequest = {
      kind: 'release',
      counters: [window],
      slots: [0],
      spend: oneTicket,
      session: undefined,
    };
    const telling = thread.tell(release);
    const closing = thread.close();
    await expect(thread.ask({ kind: 'check' }, never)).rejects.toMatchObject(closed);
    await expect(thread.tell(release)).resolves.toBeUndefined();
    await Promise.all([closing, thread.close()]);
    expect((await Promise.all(asked)).map(({ kind }) => kind)).toEqual(['reserved', 'reserved']);
    await expect(telling).resolves.toBeUndefined();
    // the thread has closed its file, whose log is gone with it
    expect(await readdir(folder)).toEqual(['spend.sqlite']);
  });

  it('that its caller gives up just before the ledger is closed is given back all the same', async () => {
    const ledger = await open();
    const window = newWindow();
    const gone = new AbortController();
    const asked = ledger.reserve([window], oneTicket, gone.signal);
    // the thread has it now, and its answer comes in a later turn
    await turn();
    gone.abort(new Error('gone'));
    const closing = ledger.close();
    await expect(asked).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    await closing;
    expect(await (await open()).usage([window])).toEqual([spend({})]);
  });

  it('is let be once the ledger has closed', async () => {
    const { thread } = openHeld();
    await thread.close();
    await expect(thread.tell({ kind: 'check' })).resolves.toBeUndefined();
    await expect(thread.ask({ kind: 'check' }, never)).rejects.toMatchObject(closed);
  });

  it('that was told, and that a thread could not take, is over as well', async () => {
    const threads = watchThreads();
    const { thread, hold, letGo } = openHeld();
    await thread.ask({ kind: 'check' }, never);
    hold();
    const telling = thread.tell({ kind: 'check' });
    await turn();
    await threads[0]?.terminate();
    await expect(telling).resolves.toBeUndefined();
    letGo();
    await thread.ask({ kind: 'check' }, never);
  });

  it('is refused when the disk holds it up for five seconds after the ledger was closed', async () => {
    const threads = watchThreads();
    const { thread } = openHeld();
    await thread.ask({ kind: 'check' }, never);
    const [worker = expect.unreachable()] = threads;
    // a disk that answers nothing
    vi.spyOn(worker, 'postMessage').mockImplementation(() => undefined);
    const sent = thread.ask({ kind: 'check' }, never);
    await turn();
    const queued = thread.ask({ kind: 'check' }, never);
    const outcomes = Promise.allSettled([sent, queued]);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let isClosed = false;
    const closing = thread.close().then(() => (isClosed = true));
    await vi.advanceTimersByTimeAsync(4_999);
    expect(isClosed).toBe(false);
    expect(threads).toHaveLength(1);
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    await vi.advanceTimersByTimeAsync(1);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(isClosed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await closing;
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: closed });
    }
    await exited;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has its turn before those that were asked later', async () => {
    const { thread } = openHeld();
    const window = newWindow({ limits: { tickets: 2n } });
    const reserve = { kind: 'reserve', charges: [window], spend: oneTicket } as const;
    const asked = [1, 2, 3, 4].map(() => thread.ask({ ...reserve, session: undefined }, never));
    const kinds = (await Promise.all(asked)).map(({ kind }) => kind);
    expect(kinds).toEqual(['reserved', 'reserved', 'exceeded', 'exceeded']);
  });

  it('that comes without a deadline waits for five seconds', async () => {
    const ledger = await open();
    const timeout = vi.spyOn(AbortSignal, 'timeout');
    await ledger.usage([newWindow()]);
    await ledger.checkHealth();
    expect(timeout.mock.calls).toEqual([[5_000], [5_000]]);
  });

  it('that was given up in the turn in which it was asked holds up no close', async () => {
    const threads = watchThreads();
    const { thread } = openHeld();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const ending = new AbortController();
    const asked = thread.ask({ kind: 'check' }, ending.signal);
    ending.abort(new Error('gone'));
    const closing = thread.close();
    await expect(asked).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    await closing;
    expect(threads).toEqual([]);
  });

  it('needs no thread where nothing was asked', async () => {
    const threads = watchThreads();
    const { thread } = openHeld();
    await thread.close();
    expect(threads).toEqual([]);
  });
});

describe('the file of the embedded ledger', () => {
  it('is shared by processes, which grant exactly what the budget has', async () => {
    const window = newWindow();
    const spendings = [startSpending(window, 1_000n, 32), startSpending(window, 1_000n, 32)];
    await Promise.all(spendings.map(({ closed }) => closed));
    expect(spendings.map(({ child }) => child.exitCode)).toEqual([0, 0]);
    expect(spendings.reduce((sum, { granted }) => sum + granted, 0)).toBe(1_000);
    expect(await ticketsOf(await open(), window)).toBe(1_000);
  });

  it('has everything that was granted after a kill -9 in the middle', async () => {
    const window = newWindow();
    const clients = 16;
    const rounds = 4;
    let granted = 0;
    for (let round = 1; round <= rounds; round += 1) {
      const spending = startSpending(window, 10n ** 12n, clients);
      await vi.waitUntil(() => spending.granted > 100, { timeout: 60_000 });
      await sleep(random.int(50));
      spending.child.kill('SIGKILL');
      await spending.closed;
      granted += spending.granted;
      const counted = await ticketsOf(await open(), window);
      expect(counted).toBeGreaterThanOrEqual(granted);
      expect(counted).toBeLessThanOrEqual(granted + clients * round);
    }
  });

  it('keeps its counts from one start to the next', async () => {
    const window = newWindow({ limits: { tickets: 1n } });
    const ledger = await open();
    const reserving = ledger.reserve([window], oneTicket, never);
    await ledger.close();
    requireReserved(await reserving);
    await expect(ledger.reserve([window], oneTicket, never)).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
    });
    expect((await (await open()).reserve([window], oneTicket, never)).kind).toBe('exceeded');
  });

  it('frees nothing when the machine’s clock is set, neither forward nor back', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const window = newWindow({ limits: { tickets: 1n } });
    const ledger = await open();
    requireReserved(await ledger.reserve([window], oneTicket, never));
    const isExceeded = async (of: SpendLedger): Promise<boolean> =>
      (await of.reserve([window], oneTicket, never)).kind === 'exceeded';
    vi.setSystemTime(Date.now() + 48 * hourMs);
    expect(await isExceeded(ledger)).toBe(true);
    vi.setSystemTime(Date.now() - 96 * hourMs);
    expect(await isExceeded(ledger)).toBe(true);
    await ledger.close();
    expect(await isExceeded(await open())).toBe(true);
  });

  it('tells the time as the machine’s clock had it at the start, in whole milliseconds', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    // a process that has run for a while, to a part of a millisecond
    vi.advanceTimersByTime(1_000_000);
    const startMs = Date.now();
    const real = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => real() + 0.75);
    const ledger = await open();
    const writtenMs = async (): Promise<unknown> => {
      await ledger.checkHealth();
      using file = new DatabaseSync(join(folder, 'spend.sqlite'));
      return file.prepare('SELECT time_ms FROM clock').get()?.['time_ms'];
    };
    expect(await writtenMs()).toBe(startMs);
    vi.advanceTimersByTime(90_000);
    vi.setSystemTime(startMs - 48 * hourMs);
    expect(await writtenMs()).toBe(startMs + 90_000);
  });

  it('goes on from the latest time that any process has written', async () => {
    const now = Date.now();
    const window = newWindow({ limits: { tickets: 1n } });
    const behind = await open({ now: () => now });
    requireReserved(await behind.reserve([window], oneTicket, never));
    const ahead = await open({ now: () => now + hourMs / 2 });
    await ahead.checkHealth();
    const later = newWindow();
    requireReserved(await behind.reserve([later], oneTicket, never));
    const much = await open({ now: () => now + hourMs + hourMs / 60 });
    expect(await ticketsOf(much, window)).toBe(0);
    expect(await ticketsOf(much, later)).toBe(1);
  });

  it('forgets counters that nothing counts in any more', async () => {
    let timeMs = Date.now();
    const ledger = await open({ now: () => timeMs });
    const windows = Array.from({ length: 700 }, () => newWindow({ windowMs: 60_000 }));
    requireReserved(await ledger.reserve(windows, oneTicket, never));
    for (let pass = 0; pass < 3; pass += 1) {
      timeMs += hourMs;
      requireReserved(
        await ledger.reserve([newWindow({ windowMs: 24 * hourMs })], oneTicket, never),
      );
    }
    await ledger.close();
    using file = new DatabaseSync(join(folder, 'spend.sqlite'));
    expect(file.prepare('SELECT count(*) AS size FROM counters').get()).toEqual({ size: 3 });
    expect(file.prepare('SELECT count(*) AS size FROM slots').get()).toEqual({ size: 3 });
  });

  /** How many rows a table of the file has, as another process sees it. */
  function sizeOf(table: 'counters' | 'slots' | 'sessions'): unknown {
    using file = new DatabaseSync(join(folder, 'spend.sqlite'));
    return file.prepare(`SELECT count(*) AS size FROM ${table}`).get()?.['size'];
  }
  const minute = 60_000;
  const startMs = 1_000 * hourMs;
  const limits = [{ ruleId: 'few', maximum: 10n, isEnforced: true }];
  const reserveIn = (window: WindowCharge, session?: string): FileRequest => ({
    kind: 'reserve',
    charges: [window],
    spend: spend({ ev: 2n, tickets: 1n }),
    session: session === undefined ? undefined : { id: session, spentEv: 0n, limits },
  });
  const check: FileRequest = { kind: 'check' };

  it('forgets 500 counters and sessions at a time, those that are over, each ten minutes', () => {
    const file = new LedgerFile(folder);
    const requests = Array.from({ length: 501 }, (_, index) =>
      reserveIn(newWindow({ windowMs: minute }), `session-${index}`),
    );
    file.answer(requests, startMs);
    const sizesAt = (timeMs: number): unknown[] => {
      file.answer([check], timeMs);
      return (['counters', 'slots', 'sessions'] as const).map(sizeOf);
    };
    expect(sizesAt(startMs + 10 * minute - 1)).toEqual([501, 501, 501]);
    expect(sizesAt(startMs + 10 * minute)).toEqual([1, 1, 501]);
    // as many as it takes at most: there may be more
    expect(sizesAt(startMs + 10 * minute)).toEqual([0, 0, 501]);
    expect(sizesAt(startMs + 25 * hourMs)).toEqual([0, 0, 1]);
    expect(sizesAt(startMs + 25 * hourMs)).toEqual([0, 0, 0]);
    file.answer([reserveIn(newWindow({ windowMs: minute }))], startMs + 25 * hourMs);
    expect(sizesAt(startMs + 25 * hourMs + 10 * minute - 1)).toEqual([1, 1, 0]);
    expect(sizesAt(startMs + 25 * hourMs + 10 * minute)).toEqual([0, 0, 0]);
    file.close();
  });

  it('forgets counters and sessions in the very millisecond in which they are over', () => {
    const file = new LedgerFile(folder);
    file.answer([reserveIn(newWindow({ windowMs: minute }), 'a-session')], startMs);
    file.close();
    const sizesAt = (timeMs: number): unknown[] => {
      const opened = new LedgerFile(folder);
      const exported = opened.exportAll(timeMs).map(({ kind }) => kind);
      opened.answer([{ kind: 'usage', counters: [] }], timeMs);
      opened.close();
      return [sizeOf('counters'), sizeOf('sessions'), exported];
    };
    const end = startMs + 61_000;
    expect(sizesAt(end - 1)).toEqual([1, 1, ['clock', 'counter', 'session']]);
    expect(sizesAt(end)).toEqual([0, 1, ['clock', 'session']]);
    const last = startMs + 25 * hourMs;
    expect(sizesAt(last - 1)).toEqual([0, 1, ['clock', 'session']]);
    expect(sizesAt(last)).toEqual([0, 0, ['clock']]);
  });

  it('takes nothing off where nobody says of which slot', () => {
    const file = new LedgerFile(folder);
    const window = newWindow();
    file.answer([reserveIn(window)], startMs);
    const release = { kind: 'release', counters: [window], spend: oneTicket } as const;
    const [done] = file.answer([{ ...release, slots: [], session: undefined }], startMs);
    expect(done).toEqual({ kind: 'done' });
    expect(file.answer([{ kind: 'usage', counters: [window] }], startMs)).toEqual([
      { kind: 'usage', spent: [spend({ ev: 2n, tickets: 1n })] },
    ]);
    file.close();
  });

  it('writes the time with what it counts and releases, and not for a look', () => {
    const file = new LedgerFile(folder);
    const window = newWindow();
    const writtenMs = (): unknown => {
      using other = new DatabaseSync(join(folder, 'spend.sqlite'));
      return other.prepare('SELECT time_ms FROM clock').get()?.['time_ms'];
    };
    const [reserved] = file.answer([reserveIn(window, 'a-session')], startMs);
    if (reserved?.kind !== 'reserved') throw new Error('not reserved');
    file.answer([{ kind: 'usage', counters: [window] }], startMs + 1);
    expect(writtenMs()).toBe(startMs);
    const release = (ev: bigint, timeMs: number) =>
      file.answer(
        [
          {
            kind: 'release',
            counters: [window],
            slots: reserved.slots,
            spend: spend({ ev }),
            session: 'a-session',
          },
        ],
        timeMs,
      );
    const sessions = () => file.exportAll(startMs + 4).filter(({ kind }) => kind === 'session');
    release(1n, startMs + 2);
    expect(writtenMs()).toBe(startMs + 2);
    expect(sessions()).toMatchObject([{ id: 'a-session', ev: 1n }]);
    release(1n, startMs + 3);
    expect(writtenMs()).toBe(startMs + 3);
    // of which nothing is left, nothing is kept
    expect(sizeOf('sessions')).toBe(0);
    file.close();
  });

  it('tells all slots that count, and of each counter its own', () => {
    const file = new LedgerFile(folder);
    const [window, other] = [newWindow({ windowMs: minute }), newWindow({ windowMs: minute })];
    file.answer([reserveIn(window), reserveIn(other)], startMs);
    file.answer([reserveIn(window)], startMs + 30_000);
    file.answer([reserveIn(window)], startMs + minute);
    const slot = startMs / 1_000;
    const spent = spend({ ev: 2n, tickets: 1n });
    const { ruleId, scope, windowMs } = window;
    const counter = { kind: 'counter', scope, windowMs };
    expect(file.exportAll(startMs + minute)).toEqual([
      { kind: 'clock', timeMs: startMs + minute },
      { ...counter, ruleId, slots: [0, 30, 60].map((after) => ({ slot: slot + after, spent })) },
      { ...counter, ruleId: other.ruleId, slots: [{ slot, spent }] },
    ]);
    file.close();
  });

  it('has the format of version 1, which is what other releases know', () => {
    new LedgerFile(folder).close();
    using file = new DatabaseSync(join(folder, 'spend.sqlite'));
    const tables = file
      .prepare('SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name')
      .all();
    expect(tables.map(({ sql }) => String(sql).replaceAll(/\s+/g, ' '))).toEqual([
      'CREATE TABLE clock (time_ms INTEGER NOT NULL) STRICT',
      'CREATE TABLE counters ( id INTEGER PRIMARY KEY, rule TEXT NOT NULL, scope TEXT NOT NULL, ' +
        'window_ms INTEGER NOT NULL, slot INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ' +
        'ev TEXT NOT NULL, tickets TEXT NOT NULL, sessions TEXT NOT NULL, ' +
        'UNIQUE (rule, scope, window_ms) ) STRICT',
      'CREATE TABLE sessions ( id TEXT PRIMARY KEY, ev TEXT NOT NULL, ' +
        'expires_ms INTEGER NOT NULL ) STRICT, WITHOUT ROWID',
      'CREATE INDEX sessions_by_expiry ON sessions (expires_ms)',
      'CREATE TABLE slots ( counter INTEGER NOT NULL REFERENCES counters (id) ON DELETE CASCADE, ' +
        'slot INTEGER NOT NULL, ev TEXT NOT NULL, tickets TEXT NOT NULL, sessions TEXT NOT NULL, ' +
        'PRIMARY KEY (counter, slot) ) STRICT, WITHOUT ROWID',
    ]);
    expect(file.prepare('PRAGMA user_version').get()).toEqual({ user_version: 1 });
    expect(file.prepare('SELECT time_ms FROM clock').all()).toEqual([{ time_ms: 0 }]);
  });

  it('ends waiting at the deadline, and gives back what is reserved after that', async () => {
    const window = newWindow({ limits: { tickets: 1n } });
    const ledger = await open();
    using other = new DatabaseSync(join(folder, 'spend.sqlite'));
    other.exec('BEGIN IMMEDIATE');
    await expect(
      ledger.reserve([window], oneTicket, AbortSignal.timeout(300)),
    ).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: 'the spend ledger did not answer before the deadline',
    });
    other.exec('ROLLBACK');
    const reserve = () => ledger.reserve([window], oneTicket, never).then(({ kind }) => kind);
    await expect.poll(reserve, { timeout: 60_000 }).toBe('reserved');
  });

  it('is not waited for without end while another process holds it', async () => {
    const window = newWindow();
    const ledger = await open();
    using other = new DatabaseSync(join(folder, 'spend.sqlite'));
    other.exec('BEGIN IMMEDIATE');
    await expect(ledger.reserve([window], oneTicket, never)).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('is held by another process') as string,
    });
    other.exec('ROLLBACK');
    requireReserved(await ledger.reserve([window], oneTicket, never));
    expect(await ledger.usage([window])).toEqual([oneTicket]);
  });

  it.each([
    ['ev', 5n, 3n],
    ['tickets', 5n, 3n],
    ['sessions', 5n, 3n],
    ['ev', 2n ** 64n, 2n ** 64n - 1n],
  ] as const)(
    'takes nothing off a slot that has less: %s of %s, and %s',
    (kind, released, held) => {
      const file = new LedgerFile(folder);
      const counters = [newWindow(), newWindow({ scope: 'x' })];
      const nowMs = 100 * hourMs;
      const much = spend({ ev: released, tickets: released, sessions: released });
      const less = { ...much, [kind]: held };
      const answer = (request: FileRequest, timeMs = nowMs) => file.answer([request], timeMs)[0];
      const reserve = {
        kind: 'reserve',
        charges: counters,
        spend: less,
        session: undefined,
      } as const;
      const reserved = answer(reserve);
      if (reserved?.kind !== 'reserved') throw new Error('not reserved');
      const { slots } = reserved;
      const release = { kind: 'release', counters, slots, session: undefined } as const;
      answer({ ...release, spend: much });
      expect(answer({ kind: 'usage', counters })).toMatchObject({ spent: [less, less] });
      // likewise from a slot that is not the newest any more
      answer(reserve, nowMs + hourMs / 2);
      answer({ ...release, spend: much }, nowMs + hourMs / 2);
      const twice = spend({
        ev: 2n * less.ev,
        tickets: 2n * less.tickets,
        sessions: 2n * less.sessions,
      });
      expect(answer({ kind: 'usage', counters })).toMatchObject({ spent: [twice, twice] });
      answer({ ...release, spend: less }, nowMs + hourMs / 2);
      expect(answer({ kind: 'usage', counters })).toMatchObject({ spent: [less, less] });
      file.close();
    },
  );

  it('is refused when it is damaged, and says so', async () => {
    const path = join(folder, 'spend.sqlite');
    await writeFile(path, 'not a database, '.repeat(1_000));
    await expect(open()).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: `the spend ledger ${path} is damaged: stop the signer and put back a copy, or move the file away, and all windows begin empty`,
    });
  });

  it('is refused when pages of it are damaged', async () => {
    const path = join(folder, 'spend.sqlite');
    const ledger = await open();
    const windows = Array.from({ length: 200 }, () => newWindow());
    requireReserved(await ledger.reserve(windows, oneTicket, never));
    await ledger.close();
    execFileSync('dd', [
      'if=/dev/urandom',
      `of=${path}`,
      'bs=4096',
      'seek=2',
      'count=6',
      'conv=notrunc',
      'status=none',
    ]);
    await expect(open()).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: expect.stringContaining(`${path} is damaged`) as string,
    });
  });

  it('is refused when a newer program wrote it', async () => {
    await (await open()).close();
    const path = join(folder, 'spend.sqlite');
    new DatabaseSync(path).exec('PRAGMA user_version = 2');
    await expect(open()).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: `the spend ledger ${path} has version 2 of its format, and this program knows 1: use the newer program`,
    });
  });

  it('is refused where it can’t be made', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(open({ folder: join(folder, 'file') })).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
      message: `the spend ledger ${join(folder, 'file', 'spend.sqlite')} can't be opened for writing: let the user of the signer write into its folder`,
    });
  });

  it('refuses while its disk is full, goes on once there is room, and has lost nothing', async () => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
    try {
      const ledger = await open({ folder: disk });
      const window = newWindow();
      await writeFile(join(disk, 'filler'), Buffer.alloc(1_048_576)).catch(() => undefined);
      let granted = 0;
      const fill = async (): Promise<void> => {
        for (;;) {
          requireReserved(await ledger.reserve([window, newWindow()], oneTicket, never));
          granted += 1;
        }
      };
      await expect(fill()).rejects.toMatchObject({
        code: 'LEDGER_UNAVAILABLE',
        message: expect.stringMatching(/no room on its disk|the room on it/) as string,
      });
      await expect(ledger.checkHealth()).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE' });

      await rm(join(disk, 'filler'));
      await ledger.checkHealth();
      requireReserved(await ledger.reserve([window], oneTicket, never));
      expect(await ledger.usage([window])).toEqual([spend({ tickets: BigInt(granted) + 1n })]);
      await ledger.close();
    } finally {
      execFileSync('umount', ['--lazy', disk]);
    }
  });
});
