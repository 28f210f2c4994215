import { LuaError, LuaTable, type LuaValue } from './lua.ts';

/** A sorted set's members by score, then by name, are sorted when they are asked for: these sets are small. */
type Value =
  | { readonly kind: 'string'; text: string }
  | { readonly kind: 'hash'; readonly fields: Map<string, string> }
  | { readonly kind: 'zset'; readonly scores: Map<string, number> };

type Entry = { readonly value: Value; expiresMs: number };

/** What scripts may call, on the data of one Redis server. Times are in ms of the server's own clock. */
export class RedisKeyspace {
  readonly #entries = new Map<string, Entry>();
  #nowMs = 0;
  #wrote = false;

  /** Runs commands at a time; tells whether one of them has written. */
  at<Result>(
    nowMs: number,
    work: () => Result,
  ): { readonly result: Result; readonly wrote: boolean } {
    this.#nowMs = Math.floor(nowMs);
    this.#wrote = false;
    const result = work();
    return { result, wrote: this.#wrote };
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  /** What a hash holds, for whoever looks at the data from outside. */
  hash(key: string): ReadonlyMap<string, string> | undefined {
    const value = this.#entries.get(key)?.value;
    return value?.kind === 'hash' ? value.fields : undefined;
  }

  text(key: string): string | undefined {
    const value = this.#entries.get(key)?.value;
    return value?.kind === 'string' ? value.text : undefined;
  }

  call(parts: readonly LuaValue[], timeMs: number): LuaValue {
    const [command = '', ...args] = parts.map(toArgument);
    const [key = '', a = '', b = '', c = ''] = args;
    switch (command) {
      case 'TIME': {
        const micros = Math.floor(timeMs * 1000);
        return new LuaTable([String(Math.floor(micros / 1e6)), String(micros % 1e6)]);
      }
      case 'GET':
        return this.#string(key)?.text ?? false;
      case 'SET':
        return this.#set(key, a, b, c);
      case 'DEL':
        return this.#count(args.filter((each) => this.#live(each) && this.#entries.delete(each)));
      case 'PTTL': {
        const entry = this.#live(key);
        if (!entry) return -2;
        return entry.expiresMs === Infinity ? -1 : entry.expiresMs - this.#nowMs;
      }
      case 'PEXPIRE': {
        const entry = this.#live(key);
        if (!entry) return 0;
        this.#wrote = true;
        entry.expiresMs = this.#nowMs + integer(a);
        return 1;
      }
      case 'INCRBY': {
        const value = integer(this.#string(key)?.text ?? '0') + integer(a);
        this.#put(key, { kind: 'string', text: String(value) });
        return value;
      }
      case 'HGET':
        return this.#hashOf(key)?.get(a) ?? false;
      case 'HMGET':
        return new LuaTable(args.slice(1).map((field) => this.#hashOf(key)?.get(field) ?? false));
      case 'HGETALL':
        return new LuaTable([...(this.#hashOf(key) ?? [])].flat());
      case 'HSET': {
        const fields = this.#hashOf(key) ?? new Map<string, string>();
        let added = 0;
        for (let place = 1; place < args.length; place += 2) {
          if (!fields.has(args[place] ?? '')) added += 1;
          fields.set(args[place] ?? '', args[place + 1] ?? '');
        }
        this.#put(key, { kind: 'hash', fields });
        return added;
      }
      case 'HDEL': {
        const fields = this.#hashOf(key);
        const gone = args.slice(1).filter((field) => fields?.delete(field));
        if (fields?.size === 0) this.#entries.delete(key);
        return this.#count(gone);
      }
      default:
        return this.#callSorted(command, args);
    }
  }

  #callSorted(command: string, [key = '', ...args]: readonly string[]): LuaValue {
    const scores = this.#scoresOf(key);
    const [a = '', b = ''] = args;
    switch (command) {
      case 'ZADD': {
        const [onlyKnown, [score = '', member = '']] =
          a === 'XX' ? [true, args.slice(1)] : [false, args];
        const isKnown = scores?.has(member) === true;
        if (onlyKnown && !isKnown) return 0;
        this.#put(key, {
          kind: 'zset',
          scores: (scores ?? new Map<string, number>()).set(member, float(score)),
        });
        return isKnown ? 0 : 1;
      }
      case 'ZINCRBY': {
        const score = (scores?.get(b) ?? 0) + float(a);
        this.#put(key, {
          kind: 'zset',
          scores: (scores ?? new Map<string, number>()).set(b, score),
        });
        return formatScore(score);
      }
      case 'ZREM': {
        const gone = args.filter((member) => scores?.delete(member));
        if (scores?.size === 0) this.#entries.delete(key);
        return this.#count(gone);
      }
      case 'ZCOUNT':
        return membersBetween(scores, a, b).length;
      case 'ZREMRANGEBYSCORE': {
        const gone = membersBetween(scores, a, b).filter((member) => scores?.delete(member));
        if (scores?.size === 0) this.#entries.delete(key);
        return this.#count(gone);
      }
      case 'ZRANGEBYSCORE': {
        const members = membersBetween(scores, a, b);
        const from = integer(args[3] ?? '0');
        return new LuaTable(
          args[2] === 'LIMIT' ? members.slice(from, from + integer(args[4] ?? '')) : members,
        );
      }
      case 'ZRANGE':
      case 'ZREVRANGE': {
        const members = sorted(scores);
        if (command === 'ZREVRANGE') members.reverse();
        return new LuaTable(members.slice(integer(a), integer(b) + 1));
      }
      default:
        throw new Error(`the simulated Redis knows no ${command}`);
    }
  }

  #set(key: string, text: string, option: string, ms: string): LuaValue {
    if (option !== '' && option !== 'PX')
      throw new Error(`the simulated Redis knows no SET ${option}`);
    if (option === 'PX' && integer(ms) <= 0)
      throw new LuaError("ERR invalid expire time in 'set' command");
    this.#wrote = true;
    const expiresMs = option === 'PX' ? this.#nowMs + integer(ms) : Infinity;
    this.#entries.set(key, { value: { kind: 'string', text }, expiresMs });
    const ok = new LuaTable();
    ok.set('ok', 'OK');
    return ok;
  }

  #count(changed: readonly string[]): number {
    if (changed.length > 0) this.#wrote = true;
    return changed.length;
  }

  #put(key: string, value: Value): void {
    this.#wrote = true;
    this.#entries.set(key, { value, expiresMs: this.#live(key)?.expiresMs ?? Infinity });
  }

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (!entry || entry.expiresMs > this.#nowMs) return entry;
    this.#entries.delete(key);
    return undefined;
  }

  #valueOf(key: string, kind: Value['kind']): Value | undefined {
    const value = this.#live(key)?.value;
    if (value && value.kind !== kind) throw new LuaError('WRONGTYPE another kind of value');
    return value;
  }

  #string(key: string): Extract<Value, { kind: 'string' }> | undefined {
    return this.#valueOf(key, 'string') as Extract<Value, { kind: 'string' }> | undefined;
  }

  #hashOf(key: string): Map<string, string> | undefined {
    return (this.#valueOf(key, 'hash') as Extract<Value, { kind: 'hash' }> | undefined)?.fields;
  }

  #scoresOf(key: string): Map<string, number> | undefined {
    return (this.#valueOf(key, 'zset') as Extract<Value, { kind: 'zset' }> | undefined)?.scores;
  }
}

function toArgument(part: LuaValue): string {
  if (typeof part === 'string') return part;
  // Redis writes numbers with 17 digits
  if (typeof part === 'number') return String(Number(part.toPrecision(17)));
  throw new LuaError('ERR command arguments must be strings or integers');
}

function integer(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new LuaError('ERR value is not an integer or out of range');
  return Number(text);
}

function float(text: string): number {
  const value = text === '+inf' ? Infinity : text === '-inf' ? -Infinity : Number(text);
  if (text === '' || Number.isNaN(value)) throw new LuaError('ERR value is not a valid float');
  return value;
}

const formatScore = (score: number): string => String(Number(score.toPrecision(17)));

function sorted(scores: ReadonlyMap<string, number> | undefined): string[] {
  return [...(scores ?? [])]
    .sort(([a, left], [b, right]) => left - right || (a < b ? -1 : a > b ? 1 : 0))
    .map(([member]) => member);
}

function membersBetween(
  scores: ReadonlyMap<string, number> | undefined,
  from: string,
  to: string,
): string[] {
  const [least, most] = [float(from), float(to)];
  return sorted(scores).filter((member) => {
    const score = scores?.get(member) ?? NaN;
    return score >= least && score <= most;
  });
}
