import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { Disk } from './disk.ts';
import { type Kernel, type SimulatedEvent, startedAtMs } from './kernel.ts';
import type { SimulatedThread } from './ledger-thread.ts';

// Node's own edges, replaced for this whole process before anything of src is loaded: its clocks and timers, its files, its
// SQLite and its threads. While no schedule runs they are what they were. The modules of src are as they are.

/** What stands in for the machine while a schedule runs. */
export type Machine = {
  readonly kernel: Kernel;
  readonly disk: Disk;
  readonly openDatabase: (path: string) => object;
  readonly startThread: (folder: string) => SimulatedThread;
};

let machine: Machine | undefined;

/** From now on this process lives on it; undefined for the real one. */
export function useMachine(next: Machine | undefined): void {
  machine = next;
}

const require = createRequire(import.meta.url);
const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setImmediate: globalThis.setImmediate,
  Date: globalThis.Date,
  timeout: AbortSignal.timeout.bind(AbortSignal),
  now: performance.now.bind(performance),
};

class SimulatedTimer {
  readonly event: SimulatedEvent;
  constructor(event: SimulatedEvent) {
    this.event = event;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
  [Symbol.dispose](): void {
    this.event.isCancelled = true;
  }
}

type Callback = (...args: unknown[]) => void;

globalThis.setTimeout = ((run: Callback, ms = 0, ...args: unknown[]) => {
  if (!machine) return real.setTimeout(run, ms, ...args);
  const delayUs = Math.max(1, Math.floor(ms)) * 1000;
  return new SimulatedTimer(machine.kernel.after(delayUs, () => run(...args)));
}) as typeof setTimeout;
globalThis.clearTimeout = (timer) => {
  if (timer instanceof SimulatedTimer) timer.event.isCancelled = true;
  else real.clearTimeout(timer);
};
globalThis.setImmediate = ((run: Callback, ...args: unknown[]) => {
  if (!machine) return real.setImmediate(run, ...args);
  const event = machine.kernel.after(1, () => run(...args));
  // src has one per process that all instances share here: what one of them leaves behind must not hold up the others
  event.outlives = true;
  return new SimulatedTimer(event);
}) as unknown as typeof setImmediate;

performance.now = () => (machine ? machine.kernel.nowMs : real.now());

const wallMs = (): number => (machine ? Math.floor(machine.kernel.wallMs) : real.Date.now());
class SimulatedDate extends real.Date {
  constructor(...args: readonly number[]) {
    if (args.length === 0) super(wallMs());
    else super(...(args as [number]));
  }
  static override now(): number {
    return wallMs();
  }
}
globalThis.Date = SimulatedDate as unknown as DateConstructor;

AbortSignal.timeout = (ms) => {
  if (!machine) return real.timeout(ms);
  const controller = new AbortController();
  machine.kernel.after(ms * 1000, () => {
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  });
  return controller.signal;
};

const timers = require('node:timers/promises') as Record<string, unknown>;
const realSleep = timers['setTimeout'] as (...args: unknown[]) => Promise<unknown>;
timers['setTimeout'] = (ms: number, value: unknown, options: { signal?: AbortSignal } = {}) => {
  if (!machine) return realSleep(ms, value, options);
  const { signal } = options;
  const { kernel } = machine;
  return new Promise((resolve, reject) => {
    const fail = (): void => {
      event.isCancelled = true;
      reject(new Error('The operation was aborted'));
    };
    const event = kernel.after(Math.max(1, Math.floor(ms)) * 1000, () => {
      signal?.removeEventListener('abort', fail);
      resolve(value);
    });
    if (signal?.aborted === true) fail();
    signal?.addEventListener('abort', fail, { once: true });
  });
};

/** What is below it lies on the simulated disk. */
export const simulatedRoot = '/simulated/';

type AnyFunction = (...args: never[]) => unknown;

/** Has calls whose path lies on the simulated disk, or whose descriptor does, go there. */
function divert(
  module: Record<string, AnyFunction>,
  name: string,
  isOurs: (first: unknown) => boolean,
  simulated: (disk: Disk) => AnyFunction,
): void {
  const original = module[name];
  if (!original) throw new Error(`Node has no ${name}`);
  module[name] = (...args: never[]) => {
    if (!machine || !isOurs(args[0])) return original(...args);
    return simulated(machine.disk)(...args);
  };
}

const isPath = (first: unknown): boolean =>
  typeof first === 'string' && `${first}/`.startsWith(simulatedRoot);
const isDescriptor = (first: unknown): boolean => typeof first === 'number' && first >= 1e6;

const fs = require('node:fs') as Record<string, AnyFunction>;
const promises = require('node:fs/promises') as Record<string, AnyFunction>;
divert(promises, 'open', isPath, (disk) => disk.open.bind(disk));
divert(promises, 'readdir', isPath, (disk) => disk.readdir.bind(disk));
divert(promises, 'mkdir', isPath, (disk) => disk.mkdir.bind(disk));
divert(fs, 'statSync', isPath, (disk) => disk.statPath.bind(disk));
divert(fs, 'fstatSync', isDescriptor, (disk) => disk.statDescriptor.bind(disk));
// what SQLite keeps its data in is no concern of the simulated disk: see database.ts
for (const name of ['mkdirSync', 'chmodSync']) divert(fs, name, isPath, () => () => undefined);
divert(fs, 'openSync', isPath, () => () => 1e9);
divert(fs, 'closeSync', isDescriptor, () => () => undefined);

const sqlite = require('node:sqlite') as Record<string, unknown>;
const RealDatabase = sqlite['DatabaseSync'] as new (path: string, options?: object) => object;
// a function that is called with `new` and returns an object gives that object
sqlite['DatabaseSync'] = function openDatabase(path: string, options: object = {}): object {
  return machine && isPath(path) ? machine.openDatabase(path) : new RealDatabase(path, options);
};
/** SQLite itself. */
export const realDatabase = RealDatabase as typeof import('node:sqlite').DatabaseSync;

const threads = require('node:worker_threads') as Record<string, unknown>;
const RealWorker = threads['Worker'] as new (url: URL, options: object) => object;
threads['Worker'] = function startThread(
  url: URL,
  options: { workerData?: { folder?: string } },
): object {
  const { folder = '' } = options.workerData ?? {};
  return machine ? machine.startThread(folder) : new RealWorker(url, options);
};
syncBuiltinESMExports();

/** Unix nanoseconds of whoever runs now. */
export function wallNs(): bigint {
  if (!machine) return BigInt(startedAtMs) * 1_000_000n;
  return BigInt(Math.floor(machine.kernel.wallMs * 1000)) * 1000n;
}
