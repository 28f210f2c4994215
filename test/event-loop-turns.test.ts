import { describe, expect, it } from 'vitest';
import { EventLoopTurns } from '../src/event-loop-turns.ts';

/** Longer than one turn begins work for. */
function keepBusy(): void {
  const untilMs = performance.now() + 6;
  while (performance.now() < untilMs);
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('turns of the event loop', () => {
  it('run work at once while there is time in the turn', async () => {
    const turns = new EventLoopTurns();
    const done: string[] = [];
    const all = ['a', 'b'].map((name) => turns.run('new', () => done.push(name)));
    expect(done).toEqual(['a', 'b']);
    await Promise.all(all);
    expect(turns.expectedWaitMs()).toBe(0);
  });

  it('serve timers and connections between pieces of work that take longer', async () => {
    const turns = new EventLoopTurns();
    const order: string[] = [];
    const works = [1, 2, 3].map((number) =>
      turns.run('new', () => {
        keepBusy();
        order.push(`work ${number}`);
      }),
    );
    const others = (async () => {
      for (let turn = 1; turn <= 3; turn += 1) {
        await nextTurn();
        order.push(`turn ${turn}`);
      }
    })();
    expect(order).toEqual(['work 1']);
    await Promise.all([...works, others]);
    expect(order).toEqual(['work 1', 'work 2', 'turn 1', 'work 3', 'turn 2', 'turn 3']);
  });

  it('finish what was begun before something new', async () => {
    const turns = new EventLoopTurns();
    const order: string[] = [];
    const work = (name: string) => () => {
      keepBusy();
      order.push(name);
    };
    await Promise.all([
      turns.run('new', work('first')),
      turns.run('new', work('new 1')),
      turns.run('new', work('new 2')),
      turns.run('begun', work('begun 1')),
      turns.run('begun', work('begun 2')),
    ]);
    expect(order).toEqual(['first', 'begun 1', 'begun 2', 'new 1', 'new 2']);
  });

  it('tell how long those that wait have waited, and nothing once none does', async () => {
    const turns = new EventLoopTurns();
    const works = [1, 2, 3].map(() => turns.run('new', keepBusy));
    keepBusy();
    expect(turns.expectedWaitMs()).toBeGreaterThanOrEqual(6);
    await Promise.all(works);
    expect(turns.expectedWaitMs()).toBe(0);
  });

  it('give what the work gives, and what it throws, at once and later', async () => {
    const turns = new EventLoopTurns();
    const fail = (): never => {
      keepBusy();
      throw new RangeError('failed');
    };
    const outcomes = await Promise.allSettled([
      turns.run('new', fail),
      turns.run('new', fail),
      turns.run('new', () => Promise.resolve(7)),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    await expect(turns.run('new', () => 8)).resolves.toBe(8);
  });
});
