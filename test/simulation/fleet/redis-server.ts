import { createHash } from 'node:crypto';
import type { Draw } from './draw.ts';
import type { Kernel } from './kernel.ts';
import { type LuaValue, LuaError, LuaTable, compileLua } from './lua.ts';
import { RedisKeyspace } from './redis-keyspace.ts';

/** What a client gets: integers, texts, lists, nothing; or an error. */
export type Reply = number | string | null | readonly Reply[];

type Write = {
  readonly script: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly nowMs: number;
};

const hashes = new Map<string, string>();

function hashOf(script: string): string {
  const known = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, known);
  return known;
}

/**
 * A Redis server with a replica and an append-only file. Scripts are its only writes; the replica, and whoever takes over or
 * starts again, has done the first so many of them.
 */
export class RedisServer {
  readonly keyspace = new RedisKeyspace();
  /** it takes connections and answers */
  isUp = true;
  /** its clock, ahead of the world's, in ms */
  clockOffsetMs = 0;
  /** writes go to the replica */
  isFollowed = true;
  replicaLagUs = 0;
  isFull = false;
  /** nothing is answered before */
  frozenUntilUs = 0;
  readonly #kernel: Kernel;
  readonly #draw: Draw;
  readonly #scripts = new Map<string, string>();
  readonly #writes: Write[] = [];
  #replicated = 0;
  #durable = 0;
  #waiters: (() => void)[] = [];

  constructor(kernel: Kernel, draw: Draw) {
    this.#kernel = kernel;
    this.#draw = draw;
  }

  /** How many writes it has done. */
  get writes(): number {
    return this.#writes.length;
  }

  /** The replica as the new master, which knows what had reached it. Tells how many writes are lost. */
  elect(): { readonly server: RedisServer; readonly lost: number } {
    this.isFollowed = false;
    return this.#successor(this.#replicated);
  }

  /** The same server after its end, which knows what was in its file. */
  restart(): { readonly server: RedisServer; readonly lost: number } {
    this.isUp = false;
    return this.#successor(this.#durable);
  }

  flushScripts(): void {
    this.#scripts.clear();
  }

  nowMs(): number {
    return this.#kernel.nowMs + 1_775_592_000_000 + this.clockOffsetMs;
  }

  /** Answers a command; `lastWrite` is the last write of the connection that asks. Throws what Redis answers as an error. */
  run(command: readonly string[], lastWrite: number, answer: (reply: Reply | Error) => void): void {
    const [name, ...rest] = command;
    if (name === 'WAIT')
      this.#wait(() => this.#replicated >= lastWrite, Number(rest[1]), answer, 1, 0);
    else if (name === 'WAITAOF') {
      this.#wait(() => this.#durable >= lastWrite, Number(rest[2]), answer, [1, 0], [0, 0]);
    } else if (name === 'ROLE') answer(['master', 0, []]);
    else if (name === 'INFO') answer('# Memory\r\nmaxmemory_policy:noeviction\r\n');
    else answer(this.#evaluate(command));
  }

  #evaluate([name, what = '', count, ...rest]: readonly string[]): Reply | Error {
    if (name !== 'EVAL' && name !== 'EVALSHA')
      return new Error(`ERR unknown command '${name ?? ''}'`);
    if (name === 'EVAL') this.#scripts.set(hashOf(what), what);
    const script = name === 'EVAL' ? what : this.#scripts.get(what);
    if (script === undefined) return new Error('NOSCRIPT No matching script.');
    if (this.isFull) return new Error("OOM command not allowed when used memory > 'maxmemory'.");
    const write = {
      script,
      keys: rest.slice(0, Number(count)),
      args: rest.slice(Number(count)),
      nowMs: this.nowMs(),
    };
    try {
      const { result, wrote } = this.#do(write);
      if (wrote) this.#note(write);
      return toReply(result);
    } catch (error) {
      if (error instanceof LuaError) return new Error(`ERR ${error.message}`);
      throw error;
    }
  }

  #do({ script, keys, args, nowMs }: Write): {
    readonly result: LuaValue;
    readonly wrote: boolean;
  } {
    const run = compileLua(script);
    return this.keyspace.at(nowMs, () =>
      run((...parts) => this.keyspace.call(parts, nowMs), keys, args),
    );
  }

  #note(write: Write): void {
    this.#writes.push(write);
    const count = this.#writes.length;
    const { world } = this.#kernel;
    this.#kernel.after(
      100 + this.#draw.int(900) + this.replicaLagUs,
      () => {
        if (!this.isFollowed) return;
        this.#replicated = Math.max(this.#replicated, count);
        this.#tellWaiters();
      },
      world,
    );
    this.#kernel.after(
      200 + this.#draw.int(2_000),
      () => {
        this.#durable = Math.max(this.#durable, count);
        this.#tellWaiters();
      },
      world,
    );
  }

  #tellWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  #wait(
    isDone: () => boolean,
    timeoutMs: number,
    answer: (reply: Reply) => void,
    yes: Reply,
    no: Reply,
  ): void {
    let isOver = false;
    const end = (reply: Reply): void => {
      if (isOver) return;
      isOver = true;
      answer(reply);
    };
    const look = (): void => {
      if (isOver) return;
      if (isDone()) end(yes);
      else this.#waiters.push(look);
    };
    look();
    this.#kernel.after(timeoutMs * 1000, () => end(no), this.#kernel.world);
  }

  #successor(known: number): { readonly server: RedisServer; readonly lost: number } {
    const server = new RedisServer(this.#kernel, this.#draw);
    server.clockOffsetMs = this.clockOffsetMs;
    for (const write of this.#writes.slice(0, known)) {
      server.#do(write);
      server.#writes.push(write);
    }
    server.#replicated = known;
    server.#durable = known;
    return { server, lost: this.#writes.length - known };
  }
}

function toReply(value: LuaValue): Reply | Error {
  if (typeof value === 'number') return Math.trunc(value);
  if (typeof value === 'string') return value;
  if (value === true) return 1;
  if (!(value instanceof LuaTable)) return null;
  const [error, ok] = [value.get('err'), value.get('ok')];
  if (typeof error === 'string') return new Error(error);
  if (typeof ok === 'string') return ok;
  const end = value.list.indexOf(undefined);
  const list = end < 0 ? value.list : value.list.slice(0, end);
  return list.map((each) => toReply(each) as Reply);
}
