import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { KeptAnswers } from '../../src/session/kept-answers.ts';
import { createMemoryAnswers } from '../../src/session/memory-answers.ts';
import {
  describeAnswers,
  describeSharedRoom,
  holder,
  hashOf,
  never,
  newNonces,
  newState,
  otherPayment,
  payment,
  requireNew,
  storm,
} from './answers-cases.ts';

const ttlMs = 600_000;

function open(maxBytes = 1_048_576) {
  // a time since start that nothing is kept as long as
  const clock = { nowMs: 10_000_000 };
  const memory = createMemoryAnswers({ ttlMs, maxBytes, nowMs: () => clock.nowMs });
  const answer = async (state: string, text: string): Promise<string> =>
    requireNew(
      await memory.claim({ use: state, requestHash: payment, nonces: undefined, holder }, never),
    ).remember(text);
  const look = async (state: string, request = payment): Promise<string> => {
    const claim = await memory.claim(
      { use: state, requestHash: request, nonces: undefined, holder },
      never,
    );
    if (claim.kind === 'answered') return claim.answer;
    await claim.forget('unused');
    return claim.isFork ? 'fork' : 'new';
  };
  return { clock, memory, answer, look };
}

describeAnswers('the memory of answers of one process', () => {
  const { memory } = open();
  return Promise.resolve({ memory, other: memory, [Symbol.asyncDispose]: () => Promise.resolve() });
});

describeSharedRoom('the room for answers of one process', () => {
  const { memory } = open(160_000);
  return Promise.resolve({ memory, other: memory, [Symbol.asyncDispose]: () => Promise.resolve() });
});

it('tells used states apart by each of their bytes', async () => {
  // bytes that are no UTF-8 by themselves
  const states = ['ff', 'fe', '80', '00'].map((byte) => byte.repeat(32));
  const { answer, look } = open(160_000);
  await answer(states[0] ?? '', 'one');
  const seen = await Promise.all(states.map((state) => look(state, otherPayment)));
  expect(seen).toEqual(['fork', 'new', 'new', 'new']);
});

it('keeps no room for answers whose time is over', async () => {
  const { clock, answer, look } = open(160_000);
  for (let index = 0; index < 100; index += 1) await answer(newState(), 'x'.repeat(1_000));
  clock.nowMs += ttlMs;
  const states = Array.from({ length: 40 }, newState);
  for (const state of states) await answer(state, 'x'.repeat(1_000));
  expect(await Promise.all(states.map((state) => look(state)))).toEqual(
    states.map(() => 'x'.repeat(1_000)),
  );
});

it('forgets an answer after its time, and knows longer that the state was used', async () => {
  const { clock, answer, look } = open();
  const state = newState();
  await answer(state, 'an answer');
  clock.nowMs += ttlMs - 1;
  expect(await look(state)).toBe('an answer');
  clock.nowMs += 1;
  expect(await look(state)).toBe('fork');
  expect(await look(state, otherPayment)).toBe('fork');
  clock.nowMs += 2 * ttlMs;
  expect(await look(state)).toBe('new');
});

it('forgets all marks after a pause of two lifetimes', async () => {
  const { clock, answer, look } = open();
  const state = newState();
  await answer(state, 'an answer');
  clock.nowMs += 2 * ttlMs;
  expect(await look(state)).toBe('new');
});

it('keeps the latest answers that there is room for', async () => {
  const { answer, look } = open(100_000);
  const states = Array.from({ length: 50 }, newState);
  for (const [index, state] of states.entries()) await answer(state, `${index}`.padEnd(3_600));
  const looks = await Promise.all(states.map((state) => look(state)));
  // three quarters of the room, 4,352 bytes each
  expect(looks.slice(0, 34).every((found) => found === 'fork')).toBe(true);
  expect(looks.slice(34).map((found) => Number(found))).toEqual(
    Array.from({ length: 16 }, (_, index) => index + 34),
  );
});

it('counts 600 bytes for each answer besides its text, and 1,024 for whoever holds any, in steps of 256', () => {
  // four steps for the holder, three for each of the first answers, four for the last
  const keptIn = (maxBytes: number, ...sizes: readonly number[]): (string | undefined)[] => {
    const kept = new KeptAnswers({ ttlMs, maxBytes, nowMs: () => 0 });
    for (const [index, size] of sizes.entries()) kept.add(`${index}`, 'x'.repeat(size), holder);
    return sizes.map((size, index) => kept.get(`${index}`) && `${size}`);
  };
  expect(keptIn(13 * 256, 168, 168, 168)).toEqual(['168', '168', '168']);
  expect(keptIn(13 * 256 - 1, 168, 168, 168)).toEqual([undefined, '168', '168']);
  expect(keptIn(13 * 256 + 255, 168, 168, 169)).toEqual([undefined, '168', '169']);
  expect(keptIn(14 * 256, 168, 168, 169)).toEqual(['168', '168', '169']);
});

it('knows of the used states of two generations, by the room that there is for marks', async () => {
  // three marks of 96 bytes in an eighth of the room, which has one answer
  const { answer, look } = open(8 * 3 * 96 + 100);
  const states = Array.from({ length: 7 }, newState);
  for (const state of states) await answer(state, 'x');
  const looks: string[] = [];
  for (const state of states) looks.push(await look(state));
  expect(looks).toEqual(['new', 'new', 'new', 'fork', 'fork', 'fork', 'x']);
});

it('keeps no answer that is larger than its room', async () => {
  const { answer, look } = open(100_000);
  const [large, small] = [newState(), newState()];
  await answer(large, 'x'.repeat(100_000));
  await answer(small, 'small');
  expect([await look(large), await look(small)]).toEqual(['fork', 'small']);
});

it('with no room at all still has requests at the same time share one answer', async () => {
  const { memory, look } = open(0);
  const state = newState();
  const { leaders, answers } = await storm([memory], state, 100);
  expect(leaders).toBe(1);
  expect(new Set(answers).size).toBe(1);
  expect(await look(state)).toBe('new');
});

it('takes no more memory than it may for 100,000 sessions', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const heapBytes = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const maxBytes = 8_388_608;
  const { memory, answer } = open(maxBytes);
  const before = heapBytes();
  for (let session = 0; session < 100_000; session += 1) {
    const text = JSON.stringify({ payment: hashOf(`${session}`).repeat(30) });
    await answer(hashOf(`session ${session}`), text);
  }
  const grown = heapBytes() - before;
  expect(grown).toBeGreaterThan(maxBytes / 4);
  expect(grown).toBeLessThan(maxBytes);
  // still in use, so that what it holds was counted
  await memory.checkHealth();
});

it('a request without a state is no fork, shares no answer, and ends in promises', async () => {
  const { memory } = open();
  const request = { use: undefined, requestHash: payment, nonces: undefined, holder };
  const [first, second] = [
    requireNew(await memory.claim(request, never)),
    requireNew(await memory.claim(request, never)),
  ];
  expect([first.isFork, second.isFork]).toEqual([false, false]);
  expect(first.forget('unused')).toBeInstanceOf(Promise);
  expect(await second.remember('an answer')).toBe('an answer');
  expect(requireNew(await memory.claim(request, never)).isFork).toBe(false);
  expect(memory.checkHealth()).toBeInstanceOf(Promise);
});

it('a state is under way until each of its requests has ended, however often one says so', async () => {
  const { memory } = open();
  const use = newState();
  const claim = async (requestHash: string) =>
    requireNew(await memory.claim({ use, requestHash, nonces: undefined, holder }, never));
  const [first, second, third] = [
    await claim(hashOf('1')),
    await claim(hashOf('2')),
    await claim(hashOf('3')),
  ];
  expect([first.isFork, second.isFork, third.isFork]).toEqual([false, true, true]);
  for (const ended of [first, first, first, second]) await ended.forget('unused');
  const fourth = await claim(hashOf('4'));
  expect(fourth.isFork).toBe(true);
  await fourth.forget('unused');
  await third.forget('unused');
  const fifth = await claim(hashOf('5'));
  expect(fifth.isFork).toBe(false);
  await fifth.remember('an answer');
  expect((await claim(hashOf('6'))).isFork).toBe(true);
});

it('nonces of a request that was answered stay used, whatever is said afterwards', async () => {
  const { memory } = open();
  const nonces = newNonces();
  const claim = async (use: string | undefined) =>
    requireNew(await memory.claim({ use, requestHash: payment, nonces, holder }, never));
  const answered = await claim(undefined);
  await answered.remember('an answer');
  await answered.forget('unused');
  expect((await claim(undefined)).nonces).toMatchObject({ lastNonce: 3 });
});

it('answers that have expired give way to those that have not, whoever holds more', () => {
  let nowMs = 0;
  // for three answers of one holder, of 7 steps of 256 bytes each and 4 for him, and no more
  const kept = new KeptAnswers({ ttlMs: 1000, maxBytes: 30 * 256, nowMs: () => nowMs });
  const text = 'a'.repeat(1000);
  const [one, other] = ['one', 'other'].map((principal) => ({ tenant: '', principal }));
  if (!one || !other) throw new Error('two are needed');
  kept.add('old', text, one);
  nowMs = 1000;
  for (const key of ['first', 'second', 'third']) kept.add(key, text, other);
  expect(['old', 'first', 'second', 'third'].map((key) => kept.get(key) === text)).toEqual([
    false,
    true,
    true,
    true,
  ]);
});

it('nonces that were given back once are not taken from who has them now', async () => {
  const { memory } = open();
  const nonces = newNonces();
  const claim = async () =>
    requireNew(await memory.claim({ use: undefined, requestHash: payment, nonces, holder }, never));
  const first = await claim();
  await first.forget('unused');
  const second = await claim();
  expect(second.nonces).toEqual(first.nonces);
  await first.forget('unused');
  const third = await claim();
  expect(third.nonces).not.toMatchObject({
    lastNonce: (second.nonces as { lastNonce: number }).lastNonce,
  });
});
