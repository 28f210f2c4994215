import { z } from 'zod';
import { RecordsError } from '../../../errors.ts';
import { type ScriptRunner, describeScriptFailure } from '../../../store/script-runner.ts';
import type { LedgerArchive, LedgerRecord } from '../ledger-archive.ts';
import { joinAmount, requireExact, splitAmount } from './redis-amounts.ts';
import { type SlotSpend, addSpend, nothingSpent, slotsPerWindow, spendKinds } from '../windows.ts';

export type RedisArchiveOptions = { readonly redis: ScriptRunner; readonly keyPrefix: string };

const scanCount = 1_000;
const keysPerRead = 100;

/** ARGV: the cursor, the pattern. KEYS: any key of the node that has the others. */
const scanScript = `return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ${scanCount})`;

/**
 * Returns Redis' time in ms, and then for each key its type, its value or its fields and values, and the ms until it is dropped.
 */
const readScript = `
local time = redis.call('TIME')
local found = {string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))}
for index, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local content = kind == 'hash' and redis.call('HGETALL', key) or {redis.call('GET', key) or ''}
  found[index + 1] = {kind, content, redis.call('PTTL', key)}
end
return found
`;

/** ARGV: fields and values of a counter, then the ms to keep it. An existing counter is left as it is. */
const writeCounterScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for place = 1, #ARGV - 1, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[#ARGV])
return 1
`;

/** ARGV: what the session has spent, and until when that is kept, Unix ms. */
const writeSessionScript = `
local time = redis.call('TIME')
local left = ARGV[2] - (tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
if left > 0 then redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', string.format('%.0f', left)) end
return 1
`;

const scanReply = z.tuple([z.string(), z.array(z.string())]);
const readReply = z.tuple([z.string()], z.tuple([z.string(), z.array(z.string()), z.int()]));
const counterName = z.tuple([z.string(), z.string(), z.int()]);

/** The ledger in Redis, as an archive. It needs the rights to `SCAN`, `TYPE` and `EXISTS` besides those of the signer. */
export function openRedisArchive({ redis, keyPrefix }: RedisArchiveOptions): LedgerArchive {
  const anchor = `${keyPrefix}health`;
  const counters = `${keyPrefix}spend:`;
  const sessions = `${keyPrefix}session:`;

  async function run(script: string, keys: readonly string[], args: readonly string[]) {
    return redis.run(script, keys, args).catch(failAsUnavailable);
  }

  async function findKeys(prefix: string): Promise<string[]> {
    const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
    const found = new Set<string>();
    let cursor = '0';
    do {
      const raw = await run(scanScript, [anchor], [cursor, pattern]);
      const [next, keys] = scanReply.parse(raw);
      for (const key of keys) found.add(key);
      cursor = next;
    } while (cursor !== '0');
    return [...found].sort();
  }

  return {
    async read() {
      const keys = [...(await findKeys(counters)), ...(await findKeys(sessions))];
      const records: LedgerRecord[] = [];
      let timeMs = 0;
      for (let at = 0; at < keys.length; at += keysPerRead) {
        const part = keys.slice(at, at + keysPerRead);
        const [now, ...contents] = readReply.parse(await run(readScript, part, []));
        timeMs = Number(now);
        for (const [index, [kind, content, leftMs]] of contents.entries()) {
          const key = part[index] ?? '';
          if (kind === 'none' || leftMs < 0) continue;
          if (kind === 'hash') {
            records.push(parseCounter(key.slice(counters.length), content));
          } else {
            const [ev = 0n] = joinAmounts(content[0] ?? '');
            const id = key.slice(sessions.length);
            records.push({ kind: 'session', id, ev, expiresMs: timeMs + leftMs });
          }
        }
      }
      return records.length === 0 ? [] : [{ kind: 'clock', timeMs }, ...records];
    },
    async write(records) {
      for (const record of records) requireExactness(record);
      for (const record of records) {
        if (record.kind === 'session') {
          const value = splitAmount(record.ev).join(' ');
          await run(writeSessionScript, [sessions + record.id], [value, `${record.expiresMs}`]);
        } else if (record.kind === 'counter') {
          const { ruleId, scope, windowMs, slots } = record;
          const key = counters + JSON.stringify([ruleId, scope, windowMs]);
          await run(writeCounterScript, [key], formatCounter(windowMs, slots));
        }
      }
    },
    /** The connection is closed by the caller, who made it. */
    close: () => Promise.resolve(),
  };
}

function parseCounter(name: string, content: readonly string[]): LedgerRecord {
  const [ruleId, scope, windowMs] = counterName.parse(JSON.parse(name));
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < content.length; at += 2) {
    fields.set(content[at] ?? '', content[at + 1] ?? '');
  }
  const newest = Number(fields.get('slot'));
  const slots = [...fields.keys()]
    .filter((field) => /^\d+$/.test(field))
    .map((field): SlotSpend => {
      const [ev = 0n, tickets = 0n, begun = 0n] = joinAmounts(fields.get(field) ?? '');
      return { slot: Number(field), spent: { ev, tickets, sessions: begun } };
    });
  if (!slots.some(({ slot }) => slot === newest)) slots.push({ slot: newest, spent: nothingSpent });
  slots.sort((a, b) => a.slot - b.slot);
  return { kind: 'counter', ruleId, scope, windowMs, slots };
}

function formatCounter(windowMs: number, slots: readonly SlotSpend[]): string[] {
  const format = (spent: SlotSpend['spent']): string =>
    spendKinds.flatMap((kind) => splitAmount(spent[kind])).join(' ');
  const newest = slots.at(-1)?.slot ?? 0;
  const total = slots.map(({ spent }) => spent).reduce(addSpend, nothingSpent);
  const keptMs = Math.ceil((windowMs * (slotsPerWindow + 2)) / slotsPerWindow) + 1_000;
  return [
    ...slots.flatMap(({ slot, spent }) => [`${slot}`, format(spent)]),
    ...['slot', `${newest}`, 'total', format(total), `${keptMs}`],
  ];
}

function requireExactness(record: LedgerRecord): void {
  if (record.kind === 'session') requireExact(record.ev);
  if (record.kind !== 'counter') return;
  const total = record.slots.map(({ spent }) => spent).reduce(addSpend, nothingSpent);
  for (const kind of spendKinds) requireExact(total[kind]);
}

/** high and low, one pair after the other */
function joinAmounts(text: string): bigint[] {
  const numbers = text.split(' ').map(BigInt);
  return numbers.flatMap((high, place) =>
    place % 2 === 0 ? [joinAmount(high, numbers[place + 1] ?? 0n)] : [],
  );
}

function failAsUnavailable(cause: unknown): never {
  const details = describeScriptFailure(cause);
  const message = `the spend ledger in Redis can't be read or written: ${details}`;
  throw new RecordsError('LEDGER_UNAVAILABLE', message, { details, cause });
}
