import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyChain } from '../../src/audit/verify-chain.ts';
import { SmallDisk } from '../audit/small-disk.ts';
import { expectPaid } from '../payments/expectations.ts';
import { expectAllRecorded, expectFailure, patiently, readReadiness } from './evidence.ts';
import { type GuardedSigner, firstPayment, startGuardedSigner } from './guarded-signer.ts';
import { countTickets } from './spend-budget.ts';

/** The tickets that all may have together. */
const allowance = 5_000;
const policy = `default: allow
rules:
  - { id: not-evil, when: { app: [evil] }, then: deny }
  - { id: hourly, window: { per: all, every: 1h, tickets: ${allowance} } }`;

let disk: SmallDisk;
let signer: GuardedSigner;
/** tickets handed out */
let held: number;

beforeEach(() => {
  disk = new SmallDisk(1_024);
  held = 0;
});
afterEach(async () => {
  await signer.close();
  disk[Symbol.dispose]();
});

async function pay(tickets: number): Promise<number> {
  const answer = await signer.post(await firstPayment(tickets));
  if (answer.status === 200) held += expectPaid(answer).ticketCount;
  return answer.status;
}

/** Somebody else's file that takes all room there is. */
const glutton = (): string => join(disk.path, 'glutton');

/** Takes the room that is left, again and again, while payments are tried; until these fail and readiness tells `problem`. */
async function fillUp(problem: Readonly<Record<string, string>>): Promise<void> {
  writeFileSync(glutton(), '');
  const isFull = async () => {
    takeAllRoom();
    const status = await pay(10);
    return { status, readiness: await readReadiness(signer) };
  };
  const full = { status: 503, readiness: { status: 503, problems: problem } };
  await expect.poll(isFull, patiently).toEqual(full);
}

function takeAllRoom(): void {
  for (const size of [65_536, 4_096]) {
    try {
      for (;;) appendFileSync(glutton(), Buffer.alloc(size));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

/** Has the window let through what it has left. */
async function useUpWindow(): Promise<void> {
  for (const batch of [100, 10, 1]) {
    let status: number;
    do status = await pay(batch);
    while (status === 200);
    expect(status).toBe(429);
  }
}

const isReady = async (): Promise<boolean> => (await readReadiness(signer)).status === 200;

describe('a full disk under the audit log', () => {
  it('has nothing signed that is not recorded, and payments go on by themselves once there is room', async () => {
    const folder = disk.path;
    signer = await startGuardedSigner({ policy, settings: { audit: { path: folder } } });
    await pay(10);
    await fillUp({ audit: 'AUDIT_UNAVAILABLE' });
    const refused = await Promise.all(Array.from({ length: 20 }, () => pay(10)));
    expect([...new Set(refused)]).toEqual([503]);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'AUDIT_UNAVAILABLE', status: 503 });
    const denied = await signer.post(await firstPayment(1, { body: { app: 'evil' } }));
    expectFailure(signer, denied, 403, 'RULE_DENIED');
    expectAllRecorded(signer, folder);

    rmSync(glutton());
    await expect.poll(isReady, patiently).toBe(true);
    await useUpWindow();
    // what was signed and could not be recorded was handed to nobody, and is counted
    expect(countTickets(signer.key.digests)).toBe(allowance);
    expect(held).toBeGreaterThan(allowance - 100);
    expectAllRecorded(signer, folder);
    expect(await verifyChain(join(folder, 'server-1'))).toMatchObject({ tornBytes: 0 });
  });
});

describe('an audit log that is deleted', () => {
  it('has no payment answered from then on, and no second one signed', async () => {
    signer = await startGuardedSigner({ settings: { audit: { path: disk.path } } });
    expect(await pay(1)).toBe(200);
    rmSync(join(disk.path, 'server-1'), { recursive: true });
    expect(await pay(1)).toBe(503);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'AUDIT_UNAVAILABLE', status: 503 });
    signer.key.reset();
    expect(await pay(1)).toBe(503);
    expect(signer.key.digests).toHaveLength(0);
    expect(await readReadiness(signer)).toEqual({
      status: 503,
      problems: { audit: 'AUDIT_UNAVAILABLE' },
    });
  });
});

describe('a full disk under the spend ledger', () => {
  it('has nothing signed that is not counted, and payments go on by themselves once there is room', async () => {
    const store = { kind: 'embedded', path: disk.path };
    signer = await startGuardedSigner({ policy, settings: { store } });
    await pay(10);
    await fillUp({ ledger: 'LEDGER_UNAVAILABLE' });
    signer.key.reset();
    const refused = await Promise.all(Array.from({ length: 20 }, () => pay(10)));
    expect([...new Set(refused)]).toEqual([503]);
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'LEDGER_UNAVAILABLE', status: 503 });
    expect(signer.key.digests).toHaveLength(0);

    rmSync(glutton());
    await expect.poll(isReady, patiently).toBe(true);
    await useUpWindow();
    expect(held).toBe(allowance);
    expectAllRecorded(signer, join(signer.folder, 'audit'));
  });
});
