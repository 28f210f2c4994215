import { getEventListeners } from 'node:events';
import {
  concat,
  encodePacked,
  getAddress,
  hashMessage,
  hashTypedData,
  keccak256,
  recoverMessageAddress,
  stringToBytes,
} from 'viem';
import { beforeEach, describe, expect, it } from 'vitest';
import { Grant } from '../../src/keys/grant.ts';
import { type KeyGate, openKeyGate } from '../../src/keys/gate.ts';
import { type Intent, digestsOf } from '../../src/keys/intents.ts';
import { noJournal } from '../../src/keys/key-journal.ts';
import {
  type KeyProvider,
  ProviderError,
  type ProviderSignature,
} from '../../src/keys/provider.ts';
import type { StateDelegation } from '../../src/keys/state-delegation.ts';
import {
  type Address,
  addressFromBytes,
  bytesToUint,
  toHex,
  zeroBytes32,
} from '../../src/pm/bytes.ts';
import { type ByocJob, encodeByocJob, refuseByocJob } from '../../src/pm/byoc-job.ts';
import { flattenSegmentCredentials, refuseManifestId } from '../../src/pm/segment-credentials.ts';
import { type Ticket, encodeTicketPreimage } from '../../src/pm/ticket.ts';
import { eventLoopTurns } from '../../src/event-loop-turns.ts';
import { createGrantAuthority } from '../../src/policy/grants.ts';
import { createPolicyWithoutRules } from '../policy/no-rules.ts';
import type { TestKey } from '../support/test-key.ts';
import { vectors } from '../vectors/vectors.ts';
import { derSignature, hex } from './der.ts';
import { never, openTestGate, openTestProvider } from './open-test-gate.ts';
import { anyTicket } from './tickets-fuzz.ts';
import { viemTicketHash } from './viem-ticket-hash.ts';
import { fc } from '../support/fast-check.ts';

const sender = addressFromBytes(hex(vectors.key.address.slice(2)));

/** Deterministic tickets, so that failures repeat. */
function sampleTickets(count: number): Ticket[] {
  return fc.sample(anyTicket, { numRuns: count, seed: 7 });
}

const callsOf = ({ digests, selfTests }: TestKey): number => digests.length + selfTests;

function selfTest(): Intent {
  return { kind: 'self-test', sender };
}

const grantInvalid = { name: 'InternalError', code: 'GRANT_INVALID' };

describe('the key gate without a valid grant', () => {
  let provider: KeyProvider;
  let key: TestKey;
  let nowMs: number;
  let gate: KeyGate;
  let issue: (intent: Intent) => Grant;

  beforeEach(async () => {
    ({ provider, key } = await openTestProvider());
    nowMs = 1_000_000;
    ({ gate, issue } = await openTestGate(provider, { nowMs: () => nowMs }));
  });

  it('refuses a grant that nobody issued, and calls nobody', async () => {
    await expect(gate.sign(new Grant(), { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(0);
  });

  it.each([
    ['an empty object', {}],
    ['an intent', selfTest()],
    ['an object that has the prototype of a grant', Object.create(Grant.prototype)],
    ['a digest', new Uint8Array(32)],
    ['nothing', undefined],
    ['null', null],
    ['text', 'grant'],
  ])('refuses %s in place of a grant', async (_, forged: unknown) => {
    await expect(gate.sign(forged as Grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(0);
  });

  it('refuses a copy of a grant, whether assigned, cloned or inherited from', async () => {
    const grant = issue(selfTest());
    const copies: unknown[] = [
      Object.assign({}, grant),
      structuredClone(grant),
      Object.create(grant),
    ];
    for (const copy of copies) {
      await expect(gate.sign(copy as Grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    }
    expect(callsOf(key)).toBe(0);
    await expect(gate.sign(grant, { signal: never })).resolves.toHaveLength(1);
  });

  it('refuses a grant that was used, and does not call the key a second time', async () => {
    const grant = issue(selfTest());
    await gate.sign(grant, { signal: never });
    expect(callsOf(key)).toBe(1);
    await expect(gate.sign(grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(1);
  });

  it('lets only one of two uses at the same time through', async () => {
    const grant = issue(selfTest());
    const uses = await Promise.allSettled([
      gate.sign(grant, { signal: never }),
      gate.sign(grant, { signal: never }),
    ]);
    expect(uses.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(callsOf(key)).toBe(1);
  });

  it('refuses a used grant even where its first use failed', async () => {
    const grant = issue(selfTest());
    await expect(gate.sign(grant, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'REQUEST_ABORTED',
    });
    await expect(gate.sign(grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(0);
  });

  it('takes a grant for 30 seconds and refuses it after', async () => {
    const [inTime, tooLate] = [issue(selfTest()), issue(selfTest())];
    nowMs += 30_000;
    await expect(gate.sign(inTime, { signal: never })).resolves.toHaveLength(1);
    nowMs += 1;
    await expect(gate.sign(tooLate, { signal: never })).rejects.toMatchObject({
      ...grantInvalid,
      message: 'the grant has expired',
    });
    expect(callsOf(key)).toBe(1);
  });

  it('does not revive an expired grant when the clock is set back', async () => {
    const grant = issue(selfTest());
    nowMs += 30_001;
    await expect(gate.sign(grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    nowMs -= 30_001;
    await expect(gate.sign(grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(0);
  });

  it("refuses another authority's grant, which stays good for its own gate", async () => {
    const other = createGrantAuthority(() => nowMs);
    const grant = other.issue(selfTest(), {});
    await expect(gate.sign(grant, { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(0);
    expect(other.redeem(grant).intent).toEqual(selfTest());
  });

  it('refuses the grant of another policy, and one of its own policy that has expired', async () => {
    const policyOf = () => createPolicyWithoutRules({ nowMs: () => nowMs });
    const [own, other] = [policyOf(), policyOf()];
    const policyGate = await openKeyGate({
      requireSigning: () => undefined,
      provider,
      redeem: (grant) => own.redeem(grant),
      journal: noJournal,
      maxQueued: 1,
      signal: never,
    });
    const foreign = other.grantOwn({ kind: 'self-test', sender });
    await expect(policyGate.sign(foreign, { signal: never })).rejects.toMatchObject(grantInvalid);
    const late = own.grantOwn({ kind: 'self-test', sender });
    nowMs += 30_001;
    await expect(policyGate.sign(late, { signal: never })).rejects.toMatchObject(grantInvalid);
    expect(callsOf(key)).toBe(0);
    const good = own.grantOwn({ kind: 'self-test', sender });
    await expect(policyGate.sign(good, { signal: never })).resolves.toHaveLength(1);
  });

  it('leaves no listener on a signal that outlives the call', async () => {
    const { signal } = new AbortController();
    const tickets = sampleTickets(2);
    await gate.sign(issue({ kind: 'ticket-batch', tickets }), { signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('signs the intent as it was granted, in its own order', async () => {
    const tickets = sampleTickets(20);
    const signatures = await gate.sign(issue({ kind: 'ticket-batch', tickets }), { signal: never });
    const signers = await Promise.all(
      tickets.map((ticket, index) =>
        recoverMessageAddress({
          message: { raw: viemTicketHash(ticket) },
          signature: toHex(signatures[index] ?? new Uint8Array()),
        }),
      ),
    );
    expect(signers.map((address) => address.toLowerCase())).toEqual(tickets.map(() => sender));
  });
});

const anyText = fc.string({ unit: 'binary', maxLength: 300 });
const anyAddress = fc.uint8Array({ minLength: 20, maxLength: 20 }).map(addressFromBytes);
/** What `JSON.stringify` of a state may give: an object of more than 32 bytes. */
const anyState = anyText.map((app) =>
  new TextEncoder().encode(JSON.stringify({ StateID: 'f1405ced', PMSessionID: '', App: app })),
);

/** 32 bytes of zero (sequence 0), then keccak256 of nothing, as the protocol has them. */
const emptySegment = concat([`0x${'0'.repeat(64)}`, keccak256('0x')]);

/** A job's texts; those of a beginning or a length that something else has are drawn often. */
const anyJobText = fc.oneof(anyText, fc.constantFrom('', 'LP_BYOC_JOB_V1', 'm'.repeat(100)));
const anyJob: fc.Arbitrary<ByocJob> = fc.record({
  id: anyJobText,
  capability: anyJobText,
  request: anyJobText,
  parameters: anyJobText,
  timeoutSeconds: fc.integer({ min: 1, max: 0xffff_ffff }),
});

const emptyJob: ByocJob = {
  id: '',
  capability: '',
  request: '',
  parameters: '',
  timeoutSeconds: 1,
};

const startsAsJob = (preimage: Uint8Array): boolean =>
  Buffer.from(preimage).toString('latin1').startsWith('LP_BYOC_JOB_V1');

describe("an intent's digest", () => {
  it('of a ticket is viem’s personal-message hash of the packed ticket', () => {
    fc.assert(
      fc.property(fc.array(anyTicket, { maxLength: 3 }), (tickets) => {
        expect(digestsOf({ kind: 'ticket-batch', tickets }).map(toHex)).toEqual(
          tickets.map((ticket) => hashMessage({ raw: viemTicketHash(ticket) })),
        );
      }),
    );
  });

  it('of segment credentials covers manifest id, sequence 0 and the empty segment', () => {
    fc.assert(
      fc.property(anyText, (manifestId) => {
        const preimage = concat([toHex(stringToBytes(manifestId)), emptySegment]);
        expect(digestsOf({ kind: 'segment-credentials', manifestId }).map(toHex)).toEqual([
          hashMessage({ raw: keccak256(preimage) }),
        ]);
      }),
    );
  });

  it('of a BYOC job covers its prefix, time-out and length-prefixed texts', () => {
    fc.assert(
      fc.property(anyJob, (job) => {
        const preimage = concat([
          toHex(stringToBytes('LP_BYOC_JOB_V1', { size: 16 })),
          encodePacked(['uint32'], [job.timeoutSeconds]),
          ...[job.id, job.capability, job.request, job.parameters].flatMap((text) => {
            const bytes = stringToBytes(text);
            return [encodePacked(['uint32'], [bytes.length]), toHex(bytes)];
          }),
        ]);
        expect(digestsOf({ kind: 'byoc-job', job }).map(toHex)).toEqual([
          hashMessage({ raw: keccak256(preimage) }),
        ]);
      }),
    );
  });

  it('of orchestrator info covers the checksummed address text', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        const text = getAddress(address);
        expect(digestsOf({ kind: 'orchestrator-info', sender: address }).map(toHex)).toEqual([
          hashMessage({ raw: keccak256(stringToBytes(text)) }),
        ]);
      }),
    );
  });

  it('of a session state covers its bytes, unhashed', () => {
    fc.assert(
      fc.property(anyState, (state) => {
        expect(digestsOf({ kind: 'session-state', state }).map(toHex)).toEqual([
          hashMessage({ raw: toHex(state) }),
        ]);
      }),
    );
  });

  it('of a state delegation is viem’s typed-data hash, in the signer’s own domain', () => {
    const anyTime = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const anyDelegation = fc.record({
      chainId: fc.maxSafeNat(),
      broker: anyAddress,
      instanceKey: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      notBefore: anyTime,
      notAfter: anyTime,
    });
    fc.assert(
      fc.property(anyDelegation, (delegation) => {
        const { chainId, broker, instanceKey, notBefore, notAfter } = delegation;
        expect(digestsOf({ kind: 'state-delegation', delegation }).map(toHex)).toEqual([
          hashTypedData({
            domain: {
              name: 'livepeer-hsm-signer',
              version: '1',
              chainId,
              verifyingContract: broker,
            },
            types: {
              StateDelegation: [
                { name: 'instanceKey', type: 'bytes32' },
                { name: 'notBefore', type: 'uint64' },
                { name: 'notAfter', type: 'uint64' },
              ],
            },
            primaryType: 'StateDelegation',
            message: { instanceKey: toHex(instanceKey), notBefore, notAfter },
          }),
        ]);
      }),
    );
  });

  it('of a self-test covers text that names the product and the address', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(digestsOf({ kind: 'self-test', sender: address }).map(toHex)).toEqual([
          hashMessage(`livepeer-hsm-signer self-test of ${getAddress(address)}`),
        ]);
      }),
    );
  });
});

describe('the domains of the intents', () => {
  /** What is hashed under the personal-message prefix: the preimage of its 32 bytes, or the message itself. */
  type Form = { readonly hashed: boolean; readonly length: number };

  const formOfTicket = (ticket: Ticket): Form => ({
    hashed: true,
    length: encodeTicketPreimage(ticket).length,
  });

  const delegationTo = (broker: Address): StateDelegation => ({
    chainId: 42_161,
    broker,
    instanceKey: new Uint8Array(32),
    notBefore: 0n,
    notAfter: 0n,
  });

  const otherForms: fc.Arbitrary<Form> = fc.oneof(
    anyText
      .filter((manifestId) => refuseManifestId(manifestId) === undefined)
      .map((manifestId) => ({ hashed: true, length: stringToBytes(manifestId).length + 64 })),
    anyJob
      .filter((job) => refuseByocJob(job) === undefined)
      .map((job) => ({ hashed: true, length: encodeByocJob(job).length })),
    anyAddress.map((address) => ({ hashed: true, length: getAddress(address).length })),
    anyAddress.map((address) => ({
      hashed: false,
      length: `livepeer-hsm-signer self-test of ${address}`.length,
    })),
    anyState.map((state) => ({ hashed: false, length: state.length })),
  );

  it('never meet: nothing else is signed over a preimage of a ticket’s form', () => {
    fc.assert(
      fc.property(anyTicket, otherForms, (ticket, other) => {
        const ticketForm = formOfTicket(ticket);
        expect([168, 232]).toContain(ticketForm.length);
        expect(other).not.toEqual(ticketForm);
        // an unhashed message of 32 bytes could be any preimage's hash
        expect(other.hashed || other.length > 32).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('are kept apart by refusing manifest ids of 104 and 168 UTF-8 bytes, and no others', () => {
    for (let length = 0; length <= 400; length++) {
      const refusal = refuseManifestId('m'.repeat(length));
      expect(refusal?.code, `${length} bytes`).toBe(
        length === 104 || length === 168 ? 'MANIFEST_ID_INVALID' : undefined,
      );
    }
    expect(refuseManifestId('é'.repeat(52))?.code).toBe('MANIFEST_ID_INVALID');
    expect(refuseManifestId('é'.repeat(104))).toBeUndefined();
    expect(refuseManifestId('🎥'.repeat(42))?.code).toBe('MANIFEST_ID_INVALID');
  });

  it('are kept apart by refusing jobs of 168 and 232 bytes, and no others', () => {
    const job = { capability: 'c', request: '', parameters: '', timeoutSeconds: 1 };
    for (let length = 1; length <= 300; length++) {
      const whole = { ...job, id: 'i'.repeat(length) };
      const bytes = encodeByocJob(whole).length;
      expect(bytes).toBe(37 + length);
      expect(refuseByocJob(whole)?.code, `${bytes} bytes`).toBe(
        bytes === 168 || bytes === 232 ? 'BYOC_JOB_INVALID' : undefined,
      );
    }
  });

  it('never meet: jobs, and nothing else that is signed as a hash, begin with LP_BYOC_JOB_V1', () => {
    const anyManifestId = fc.oneof(
      anyText,
      fc.constantFrom(
        'LP_BYOC_JOB_V',
        'LP_BYOC_JOB_V1',
        'LP_BYOC_JOB_V1\0\0',
        '\u0000LP_BYOC_JOB_V1',
        'lp_byoc_job_v1',
        'LP_BYOC_JOB_V2',
        '0x4c505f42594f435f4a4f425f56310000',
        '4c505f42594f435f4a4f425f56310000',
        'TFBfQllPQ19KT0JfVjEAAA==',
      ),
      anyText.map((text) => `LP_BYOC_JOB_V1${text}`),
    );
    let refused = 0;
    fc.assert(
      fc.property(
        anyJob,
        anyManifestId,
        anyTicket,
        anyAddress,
        (job, manifestId, ticket, address) => {
          expect(startsAsJob(encodeByocJob(job))).toBe(true);
          const credentials = flattenSegmentCredentials(manifestId);
          const refusal = refuseManifestId(manifestId);
          if (startsAsJob(credentials)) {
            refused += 1;
            expect(refusal).toEqual({
              code: 'MANIFEST_ID_INVALID',
              data: { start: 'LP_BYOC_JOB_V1' },
            });
          } else if (refusal) {
            expect(refusal.data).toHaveProperty('length');
          }
          expect(startsAsJob(encodeTicketPreimage(ticket))).toBe(false);
          expect(startsAsJob(stringToBytes(getAddress(address)))).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  it('would meet without those rules: a recipient and a manifest id can begin so', () => {
    const [ticket] = sampleTickets(1);
    if (!ticket) throw new Error('no ticket');
    const recipient = addressFromBytes(stringToBytes('LP_BYOC_JOB_V1', { size: 20 }));
    expect(startsAsJob(encodeTicketPreimage({ ...ticket, recipient }))).toBe(true);
    expect(startsAsJob(flattenSegmentCredentials('LP_BYOC_JOB_V1'))).toBe(true);
  });

  it('would meet without that rule: such credentials have the length of a ticket', () => {
    const [ticket] = sampleTickets(1);
    if (!ticket) throw new Error('no ticket');
    const lengths = [104, 168].map((length) => length + 64);
    expect(lengths).toContain(encodeTicketPreimage(ticket).length);
    expect(lengths).toEqual([168, 232]);
  });

  it('give different digests for every pair of kinds', () => {
    const [ticket] = sampleTickets(1);
    fc.assert(
      fc.property(anyAddress, anyText, anyState, (address, manifestId, state) => {
        const digests = [
          digestsOf({ kind: 'ticket-batch', tickets: ticket ? [ticket] : [] }),
          digestsOf({ kind: 'segment-credentials', manifestId }),
          digestsOf({ kind: 'orchestrator-info', sender: address }),
          digestsOf({ kind: 'session-state', state }),
          digestsOf({ kind: 'state-delegation', delegation: delegationTo(address) }),
          digestsOf({ kind: 'self-test', sender: address }),
          digestsOf({ kind: 'byoc-job', job: { ...emptyJob, id: manifestId } }),
        ].flat();
        expect(new Set(digests.map(toHex)).size).toBe(7);
      }),
    );
  });
});

/** A provider whose calls the test answers one by one. */
async function openHeldProvider(concurrency: number) {
  const { provider: real } = await openTestProvider();
  type Call = {
    readonly signal: AbortSignal;
    sign(): Promise<void>;
    answer(signature: ProviderSignature): void;
    fail(error: Error): void;
  };
  const calls: Call[] = [];
  let underWay = 0;
  let mostUnderWay = 0;
  const provider: KeyProvider = {
    ...real,
    concurrency,
    signDigest: async (digest, { signal }) => {
      underWay++;
      mostUnderWay = Math.max(mostUnderWay, underWay);
      const { promise, resolve, reject } = Promise.withResolvers<ProviderSignature>();
      calls.push({
        signal,
        answer: resolve,
        fail: reject,
        sign: async () => resolve(await real.signDigest(digest, { signal: never })),
      });
      try {
        return await promise;
      } finally {
        underWay--;
      }
    },
  };
  return { provider, calls, mostUnderWay: () => mostUnderWay };
}

/** All that goes on in the process is done: it runs in microtasks. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A deadline that passes when the test says so. */
function createDeadline() {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    pass: () => controller.abort(new DOMException('too late', 'TimeoutError')),
  };
}

describe('signatures made at once', () => {
  it('are none at all when one of them fails, and the calls under way are cancelled', async () => {
    const { provider, calls } = await openHeldProvider(3);
    const { gate, issue } = await openTestGate(provider);
    const signing = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(10) }), {
      signal: never,
    });
    const outcome = expect(signing).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    await settled();
    expect(calls).toHaveLength(3);
    await calls[0]?.sign();
    await settled();
    expect(calls).toHaveLength(4);
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([false, false, false, false]);
    calls[2]?.fail(new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone'));
    await outcome;
    expect(calls[1]?.signal.aborted).toBe(true);
    expect(calls[3]?.signal.aborted).toBe(true);
  });

  it('are not begun any more once one of them has failed', async () => {
    const { provider, calls } = await openHeldProvider(3);
    const { gate, issue } = await openTestGate(provider);
    const signing = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(10) }), {
      signal: never,
    });
    const outcome = expect(signing).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    await settled();
    expect(calls).toHaveLength(3);
    calls[1]?.fail(new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone'));
    await outcome;
    await settled();
    expect(calls).toHaveLength(3);
    await Promise.all([calls[0]?.sign(), calls[2]?.sign()]);
    await settled();
    expect(calls).toHaveLength(3);
  });

  it.each([
    ["another key's", derSignature(1n, 1n)],
    ['malformed', hex('30 00')],
  ])('are none at all when one reply is %s', async (_, bytes) => {
    let replies = 0;
    const { provider } = await openTestProvider({
      reply: (signature) =>
        replies++ === 4 ? { encoding: 'der', bytes } : { encoding: 'raw', bytes: signature },
    });
    const { gate, issue } = await openTestGate(provider);
    const signing = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(10) }), {
      signal: never,
    });
    await expect(signing).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'PROVIDER_REPLY_INVALID',
    });
  });

  it('do not cancel those of another grant', async () => {
    const { provider, calls } = await openHeldProvider(4);
    const { gate, issue } = await openTestGate(provider);
    const failing = gate.sign(issue(selfTest()), { signal: never });
    const other = gate.sign(issue(selfTest()), { signal: never });
    await settled();
    calls[0]?.fail(new ProviderError('PROVIDER_UNAVAILABLE', 'no'));
    await expect(failing).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    expect(calls[1]?.signal.aborted).toBe(false);
    await calls[1]?.sign();
    await expect(other).resolves.toHaveLength(1);
  });

  it.each([1, 2, 5])('are never more under way than the provider’s own %i', async (concurrency) => {
    const { provider, calls, mostUnderWay } = await openHeldProvider(concurrency);
    const { gate, issue } = await openTestGate(provider);
    const batches = [3, 4, 5].map((count) =>
      gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(count) }), { signal: never }),
    );
    for (let done = 0; done < 12; done++) {
      await settled();
      expect(calls.length).toBe(Math.min(12, done + concurrency));
      await calls[done]?.sign();
    }
    const signatures = await Promise.all(batches);
    expect(signatures.map(({ length }) => length)).toEqual([3, 4, 5]);
    expect(mostUnderWay()).toBe(concurrency);
  });

  it('wait in a bounded queue: one too many is PROVIDER_THROTTLED and cancels its own batch alone', async () => {
    const { provider, calls } = await openHeldProvider(1);
    const { gate, issue } = await openTestGate(provider, { maxQueued: 3 });
    const first = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(2) }), {
      signal: never,
    });
    await settled();
    const refused = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(3) }), {
      signal: never,
    });
    await expect(refused).rejects.toMatchObject({ code: 'PROVIDER_THROTTLED', retryable: true });
    await calls[0]?.sign();
    await settled();
    await calls[1]?.sign();
    await expect(first).resolves.toHaveLength(2);
    await settled();
    expect(calls).toHaveLength(2);
    const next = gate.sign(issue(selfTest()), { signal: never });
    await settled();
    await calls[2]?.sign();
    await expect(next).resolves.toHaveLength(1);
  });

  it('refuse a batch that could never fit into the queue without leaving any of it behind', async () => {
    const { provider, calls } = await openHeldProvider(1);
    const { gate, issue } = await openTestGate(provider, { maxQueued: 2 });
    const signing = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(4) }), {
      signal: never,
    });
    await expect(signing).rejects.toMatchObject({ code: 'PROVIDER_THROTTLED' });
    await calls[0]?.sign();
    await settled();
    expect(calls.length).toBeLessThanOrEqual(1);
  });
});

describe('signatures of a key that takes batches', () => {
  async function openBatchKey(
    reply: (signatures: ProviderSignature[]) => ProviderSignature[] = (signatures) => signatures,
  ) {
    const { provider: real } = await openTestProvider();
    const batches: number[] = [];
    const provider: KeyProvider = {
      ...real,
      signDigest: () => Promise.reject(new Error('one by one')),
      signDigests: async (digests, options) => {
        batches.push(digests.length);
        const signing = digests.map((digest) => real.signDigest(digest, options));
        return reply(await Promise.all(signing));
      },
    };
    return { ...(await openTestGate(provider)), batches, real };
  }
  const ticketBatch = (count: number): Intent => ({
    kind: 'ticket-batch',
    tickets: sampleTickets(count),
  });

  it('are made in one call for each grant, and are those of single calls', async () => {
    const { gate, issue, batches, real } = await openBatchKey();
    const single = await openTestGate(real);
    for (const count of [1, 20]) {
      const intent = ticketBatch(count);
      const signatures = await gate.sign(issue(intent), { signal: never });
      expect(signatures).toEqual(await single.gate.sign(single.issue(intent), { signal: never }));
    }
    expect(batches).toEqual([1, 20]);
  });

  it('count as begun, each of them, before the call is made', async () => {
    const { gate, issue } = await openBatchKey(() => {
      throw new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone');
    });
    let calls = 0;
    const onCall = () => (calls += 1);
    const signing = gate.sign(issue(ticketBatch(20)), { signal: never, onCall });
    await expect(signing).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    expect(calls).toBe(20);
  });

  it.each<[string, (signatures: ProviderSignature[]) => ProviderSignature[]]>([
    ['is missing', (signatures) => signatures.slice(1)],
    ['is one too many', (signatures) => [...signatures, ...signatures.slice(0, 1)]],
    ['is in another place', (signatures) => signatures.toReversed()],
    ['is malformed', (all) => [...all.slice(1), { encoding: 'der', bytes: hex('30 00') }]],
  ])('are none at all when one of them %s', async (_, reply) => {
    const { gate, issue } = await openBatchKey(reply);
    const signing = gate.sign(issue(ticketBatch(10)), { signal: never });
    await expect(signing).rejects.toMatchObject({ code: 'PROVIDER_REPLY_INVALID' });
  });

  it('are not begun when nobody waits for them any more', async () => {
    const { gate, issue, batches } = await openBatchKey();
    let calls = 0;
    const onCall = () => (calls += 1);
    const signing = gate.sign(issue(ticketBatch(3)), { signal: AbortSignal.abort(), onCall });
    await expect(signing).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    expect([batches, calls]).toEqual([[], 0]);
  });

  it('are not begun when nobody waits any more once the event loop has a turn for them', async () => {
    const { gate, issue, batches } = await openBatchKey();
    const leaving = new AbortController();
    let calls = 0;
    const onCall = () => (calls += 1);
    // other work takes this turn of the event loop
    await eventLoopTurns.run('begun', () => {
      const endMs = performance.now() + 10;
      while (performance.now() < endMs);
    });
    const signing = gate.sign(issue(ticketBatch(3)), { signal: leaving.signal, onCall });
    for (let step = 0; step < 50; step += 1) await Promise.resolve();
    leaving.abort();
    await expect(signing).rejects.toMatchObject({ code: 'REQUEST_ABORTED' });
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect([batches, calls]).toEqual([[], 0]);
  });
});

describe('payments that wait for the key', () => {
  it('take turns: one ticket is not kept waiting by a hundred that came before', async () => {
    const { provider, key } = await openTestProvider({ concurrency: 4, delayMs: 10 });
    const { gate, issue } = await openTestGate(provider);
    const done: string[] = [];
    const pay = async (name: string, count: number) => {
      await gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(count) }), {
        signal: never,
      });
      done.push(name);
    };
    const large = pay('100 tickets', 100);
    await Promise.all([pay('1 ticket', 1), pay('2 tickets', 2)]);
    const callsBefore = key.digests.length;
    await large;
    expect(done).toEqual(['1 ticket', '2 tickets', '100 tickets']);
    // two or three rounds of four calls, of the twenty-six that all of them need
    expect(callsBefore).toBeLessThan(key.digests.length / 3);
  });

  it('are called in turns, whichever came first', async () => {
    const { provider, calls } = await openHeldProvider(1);
    const { gate, issue } = await openTestGate(provider);
    const order: string[] = [];
    const pay = (name: string, count: number) => {
      const tickets = sampleTickets(count);
      return gate
        .sign(issue({ kind: 'ticket-batch', tickets }), { signal: never })
        .then(() => order.push(name));
    };
    const all = [pay('5 tickets', 5), pay('2 tickets', 2), pay('1 ticket', 1)];
    for (let call = 0; call < 8; call++) {
      await settled();
      await calls[call]?.sign();
    }
    await Promise.all(all);
    expect(order).toEqual(['1 ticket', '2 tickets', '5 tickets']);
    expect(calls).toHaveLength(8);
  });
});

describe('a call nobody can wait for any longer', () => {
  it('ends at the deadline even where the provider ignores its signal', async () => {
    const { provider, calls } = await openHeldProvider(4);
    const { gate, issue } = await openTestGate(provider);
    const deadline = createDeadline();
    const signing = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(2) }), deadline);
    await settled();
    expect(calls).toHaveLength(2);
    deadline.pass();
    await expect(signing).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'PROVIDER_TIMEOUT',
      retryable: true,
    });
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([true, true]);
  });

  it('is PROVIDER_TIMEOUT for a provider that rejects with the signal’s own reason', async () => {
    const { provider } = await openTestProvider({ delayMs: 10_000 });
    const { gate, issue } = await openTestGate(provider);
    await expect(
      gate.sign(issue(selfTest()), { signal: AbortSignal.timeout(20) }),
    ).rejects.toMatchObject({ name: 'ProviderError', code: 'PROVIDER_TIMEOUT' });
  });

  it('is PROVIDER_TIMEOUT while it waits in the queue', async () => {
    const { provider, calls } = await openHeldProvider(1);
    const { gate, issue } = await openTestGate(provider);
    const running = gate.sign(issue(selfTest()), { signal: never });
    await settled();
    const deadline = createDeadline();
    const waiting = gate.sign(issue(selfTest()), deadline);
    await settled();
    deadline.pass();
    await expect(waiting).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'PROVIDER_TIMEOUT',
    });
    await calls[0]?.sign();
    await running;
    await settled();
    expect(calls).toHaveLength(1);
  });

  it.each([
    ['at once', () => Promise.resolve()],
    ['while it is under way', settled],
  ])('is REQUEST_ABORTED when the client leaves %s', async (_, wait) => {
    const { provider, calls } = await openHeldProvider(1);
    const { gate, issue } = await openTestGate(provider);
    const client = new AbortController();
    const signing = gate.sign(issue({ kind: 'ticket-batch', tickets: sampleTickets(3) }), {
      signal: client.signal,
    });
    const outcome = expect(signing).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'REQUEST_ABORTED',
    });
    await wait();
    client.abort(new Error('the client has gone away'));
    await outcome;
    expect(calls.every(({ signal }) => signal.aborted)).toBe(true);
    await calls[0]?.sign();
    await settled();
    expect(calls).toHaveLength(1);
  });

  it('makes no call at all when the client left before', async () => {
    const { provider, key } = await openTestProvider();
    const { gate, issue } = await openTestGate(provider);
    await expect(
      gate.sign(issue(selfTest()), { signal: AbortSignal.abort(new Error('gone')) }),
    ).rejects.toMatchObject({ name: 'ProviderError', code: 'REQUEST_ABORTED' });
    await settled();
    expect(callsOf(key)).toBe(0);
  });

  it('returns no signature that comes in after the deadline, and the gate goes on working', async () => {
    const { provider, calls } = await openHeldProvider(1);
    const { gate, issue } = await openTestGate(provider);
    const deadline = createDeadline();
    const late = gate.sign(issue(selfTest()), deadline);
    await settled();
    deadline.pass();
    await expect(late).rejects.toMatchObject({ code: 'PROVIDER_TIMEOUT' });
    await calls[0]?.sign();
    const next = gate.sign(issue(selfTest()), { signal: never });
    await settled();
    await calls[1]?.sign();
    await expect(next).resolves.toHaveLength(1);
  });
});

describe('opening the gate', () => {
  it('pins the address of the provider’s public key', async () => {
    const { provider } = await openTestProvider();
    const { gate } = await openTestGate(provider);
    expect(gate.address).toBe(sender);
  });

  const uncompressed = async () => {
    const { provider } = await openTestProvider();
    return provider.getPublicKey({ signal: never });
  };

  it.each([
    ['no bytes', () => new Uint8Array()],
    ['64 bytes, the point without its prefix', (key: Uint8Array) => key.slice(1)],
    ['66 bytes', (key: Uint8Array) => Uint8Array.of(...key, 0)],
    ['33 bytes, a compressed point', (key: Uint8Array) => Uint8Array.of(2, ...key.slice(1, 33))],
    ['the hybrid form', (key: Uint8Array) => Uint8Array.of(6, ...key.slice(1))],
    ['65 zero bytes', () => new Uint8Array(65)],
  ])('refuses a public key of %s', async (_, change) => {
    const { provider } = await openTestProvider();
    const changed = change(await uncompressed());
    const opening = openTestGate({ ...provider, getPublicKey: () => Promise.resolve(changed) });
    await expect(opening).rejects.toMatchObject({ name: 'ProviderError', code: 'KEY_UNSUITABLE' });
  });

  it('passes on why the public key could not be read', async () => {
    const { provider } = await openTestProvider();
    const opening = openTestGate({
      ...provider,
      getPublicKey: () => Promise.reject(new ProviderError('KEY_NOT_FOUND', 'no such key')),
    });
    await expect(opening).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' });
  });

  it('holds on to the public key it read: a provider that changes its key is refused', async () => {
    const { provider } = await openTestProvider();
    const publicKey = await uncompressed();
    const y = bytesToUint(publicKey.slice(33));
    const p = 2n ** 256n - 2n ** 32n - 977n;
    const negated = Uint8Array.of(
      ...publicKey.slice(0, 33),
      ...hex((p - y).toString(16).padStart(64, '0')),
    );
    const { gate, issue } = await openTestGate({
      ...provider,
      getPublicKey: () => Promise.resolve(negated),
    });
    await expect(gate.sign(issue(selfTest()), { signal: never })).rejects.toMatchObject({
      code: 'PROVIDER_REPLY_INVALID',
    });
  });
});

describe('auxiliary data in a ticket', () => {
  it('is left out for round 0 with a zero hash, as the contract has it', () => {
    const [ticket] = sampleTickets(1);
    if (!ticket) throw new Error('no ticket');
    const creationRound = { round: 0n, blockHash: zeroBytes32 };
    const [digest] = digestsOf({ kind: 'ticket-batch', tickets: [{ ...ticket, creationRound }] });
    const packed = encodePacked(
      ['address', 'address', 'uint256', 'uint256', 'uint256', 'bytes32'],
      [
        ticket.recipient,
        ticket.sender,
        ticket.faceValue,
        ticket.winProb,
        BigInt(ticket.senderNonce),
        ticket.recipientRandHash,
      ],
    );
    expect(digest && toHex(digest)).toBe(hashMessage({ raw: keccak256(packed) }));
  });
});
