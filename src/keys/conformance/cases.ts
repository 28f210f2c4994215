import { keccak256 } from '../../pm/keccak256.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { uintToBytes32, utf8ToBytes } from '../../pm/bytes.ts';
import type { KeyProvider } from '../provider.ts';
import { curveOrder } from '../scalars.ts';
import { publicKeyToAddress, toEthereumSignature } from '../signature.ts';
import {
  expectEthereumSignature,
  expectFailure,
  expectNoSecret,
  expectThat,
  readPublicKey,
  settled,
  toText,
  unending,
} from './expect.ts';
import { createPortFault, withCallCount } from './port-faults.ts';
import { safeChecks } from './safe.ts';
import {
  openSelfTestGate,
  selfTestDigest,
  type SelfTestGate,
  senderWithNumber,
} from './self-test.ts';
import {
  type ConformanceCase,
  ConformanceError,
  type ConformanceSubject,
  type DeviceFault,
  type StartFault,
} from './subject.ts';

export type { ConformanceCase, ConformanceSubject, StartFault };

/** Digests with extreme values, and ordinary ones. */
const knownDigests: readonly Uint8Array[] = [
  uintToBytes32(1n),
  uintToBytes32(2n ** 255n),
  uintToBytes32(curveOrder - 1n),
  uintToBytes32(curveOrder + 1n),
  uintToBytes32(2n ** 256n - 1n),
  keccak256(utf8ToBytes('livepeer-hsm-signer conformance')),
  keccak256(new Uint8Array()),
];

/** With this many signatures, a device with random nonces is all but certain to make one with a high s. */
const signaturesForHighS = 16;

const callsAtOnce = 100;

/** When the suite aborts a call that hangs; also how long the provider may take to notice. */
const deadlineMs = 200;
const endsWithinMs = 900;

/**
 * Everything that a key provider has to do, as cases for any test framework. Run them one after the other, on a key made
 * for tests: it signs digests that mean nothing. `docs/plugins.md` shows how.
 */
export function conformanceCases(subject: ConformanceSubject): ConformanceCase[] {
  const { secrets } = subject;

  const plain = (name: string, use: (provider: KeyProvider) => Promise<void>): ConformanceCase => ({
    name,
    safe: false,
    faultAt: undefined,
    run: () => withProvider(subject, use),
  });

  const faulty = (
    name: string,
    fault: DeviceFault,
    use: (key: FaultyKey) => Promise<void>,
  ): ConformanceCase => {
    const faultAt = subject.faults?.[fault] ? 'device' : 'port';
    return {
      name: `${name} (${faultAt === 'device' ? 'fault at the device' : 'fault at the port'})`,
      safe: false,
      faultAt,
      run: () =>
        withFault(subject, fault, async (key) => {
          await use(key);
          await key.stop();
          await expectServing(key.gate, 'the next call');
        }),
    };
  };

  const refused = (name: string, fault: DeviceFault): ConformanceCase =>
    faulty(name, fault, ({ gate }) =>
      expectFailure('the call', gate.sign(faultSender), {
        code: 'PROVIDER_REPLY_INVALID',
        secrets,
      }),
    );

  return [
    ...safeChecks.map(({ name, check }) => ({
      ...plain(name, async (provider) => {
        const gate = await openSelfTestGate(provider);
        const address = publicKeyToAddress(gate.publicKey);
        await check({
          provider,
          address,
          signSelfTest: ({ signal }) => gate.sign(address, signal),
        });
      }),
      safe: true,
    })),

    plain('gives the same public key when it is opened again', async (provider) => {
      const before = await readPublicKey(provider);
      await settled('close', provider.close());
      await withProvider(subject, async (reopened) => {
        const after = await readPublicKey(reopened);
        expectThat(toText(after) === toText(before), toText(before), toText(after));
        await expectServing(await openSelfTestGate(reopened), 'a call after opening again');
      });
    }),

    plain('signs known digests as they are and leaves them as they were', async (provider) => {
      const publicKey = await readPublicKey(provider);
      for (const digest of knownDigests) {
        const given = digest.slice();
        const reply = await settled('signDigest', provider.signDigest(given, { signal: unending }));
        expectThat(toText(given) === toText(digest), toText(digest), toText(given));
        expectEthereumSignature(toEthereumSignature(reply, digest, publicKey), digest, publicKey);
      }
    }),

    plain(
      'signs batches of known digests in their order, where it offers that',
      async (provider) => {
        if (!provider.signDigests) return;
        const publicKey = await readPublicKey(provider);
        for (const count of [1, 2, knownDigests.length]) {
          const digests = knownDigests.slice(0, count);
          const given = digests.map((digest) => digest.slice());
          const call = provider.signDigests(given, { signal: unending });
          const replies = await settled('signDigests', call);
          expectThat(replies.length === count, `${count} signatures`, String(replies.length));
          for (const [index, digest] of digests.entries()) {
            const [reply, left] = [replies[index], given[index]];
            if (!reply || !left) throw new ConformanceError('a signature', 'none');
            expectThat(toText(left) === toText(digest), toText(digest), toText(left));
            expectEthereumSignature(
              toEthereumSignature(reply, digest, publicKey),
              digest,
              publicKey,
            );
          }
        }
      },
    ),

    plain('gives signatures with a low s after the gate', async (provider) => {
      const gate = await openSelfTestGate(provider);
      for (let number = 0; number < signaturesForHighS; number += 1) {
        await expectServing(gate, `call ${number}`, number);
      }
    }),

    faulty('has a high s made low', 'high-s', ({ gate }) => expectServing(gate, 'the call')),
    refused("has another key's signature refused", 'other-key'),
    refused('has a reply that is no signature refused', 'garbage'),
    refused('has a truncated signature refused', 'truncated'),

    faulty(
      'ends a call that hangs at its deadline',
      'hang',
      async ({ provider, gate, faultAt }) => {
        const expected = {
          code: 'PROVIDER_TIMEOUT',
          retryable: true,
          secrets,
          limitMs: endsWithinMs,
        } as const;
        await expectFailure('the call', gate.sign(faultSender, deadline()), expected);
        if (faultAt === 'port') return;
        for (const [name, call] of ownSigningCalls(provider)) {
          await expectFailure(`the provider's own ${name}`, call(deadline()), expected);
        }
      },
    ),

    faulty('ends a cancelled call at once', 'hang', async ({ provider, gate, faultAt }) => {
      const expected = { code: 'REQUEST_ABORTED', secrets, limitMs: endsWithinMs } as const;
      await expectFailure('the call', gate.sign(faultSender, cancelled()), expected);
      if (faultAt === 'port') return;
      for (const [name, call] of ownSigningCalls(provider)) {
        await expectFailure(`the provider's own ${name}`, call(cancelled()), expected);
      }
    }),

    plain('refuses a call that was cancelled before it was made', async (provider) => {
      for (const [name, call] of ownSigningCalls(provider)) {
        const expected = { code: 'REQUEST_ABORTED', secrets } as const;
        await expectFailure(name, call(AbortSignal.abort()), expected);
      }
      await expectServing(await openSelfTestGate(provider), 'the next call');
    }),

    faulty('tells of throttling as such, to be tried again', 'throttling', ({ gate }) =>
      expectFailure('the call', gate.sign(faultSender), {
        code: 'PROVIDER_THROTTLED',
        retryable: true,
        secrets,
      }),
    ),

    faulty('tells of a lost connection as such, to be tried again', 'lost-connection', ({ gate }) =>
      expectFailure('the call', gate.sign(faultSender), {
        code: 'PROVIDER_UNAVAILABLE',
        retryable: true,
        secrets,
      }),
    ),

    plain(`signs ${callsAtOnce} digests at once`, async (provider) => {
      const counted = withCallCount(provider);
      const gate = await openSelfTestGate(counted);
      await Promise.all(
        Array.from({ length: callsAtOnce }, (_, number) =>
          expectServing(gate, `call ${number}`, number),
        ),
      );
      expectThat(
        counted.most <= provider.concurrency,
        `at most ${provider.concurrency} calls under way`,
        String(counted.most),
      );
    }),

    closedInTheMiddle(subject),

    plain('can be closed twice', async (provider) => {
      await settled('closing twice', Promise.all([provider.close(), provider.close()]));
      await settled('closing once more', provider.close());
    }),

    plain('refuses every call once it is closed', async (provider) => {
      await settled('close', provider.close());
      const options = { signal: unending };
      const calls = {
        ...Object.fromEntries(
          ownSigningCalls(provider).map(([name, call]) => [name, () => call(unending)]),
        ),
        getPublicKey: () => provider.getPublicKey(options),
        checkHealth: provider.checkHealth?.bind(provider, options),
        describeKey: provider.describeKey?.bind(provider, options),
      };
      for (const [name, call] of Object.entries(calls)) {
        if (call) await expectFailure(name, call(), { code: 'PROVIDER_CLOSED', secrets });
      }
    }),

    plain('tells no secret in its name, its attributes and its errors', async (provider) => {
      expectThat(
        secrets.length > 0 && secrets.every((secret) => secret !== ''),
        'the subject to name at least one secret to look for',
        `${secrets.length}, empty ones counted`,
      );
      expectNoSecret('keyRef', provider.keyRef, secrets);
      const attributes = await provider.describeKey?.({ signal: unending });
      expectNoSecret('the attributes', attributes, secrets);
      const digest = selfTestDigest(faultSender);
      const abortedCall = provider.signDigest(digest, { signal: AbortSignal.abort() });
      await expectFailure('a cancelled call', abortedCall, { code: 'REQUEST_ABORTED', secrets });
      await settled('close', provider.close());
      const lateCall = provider.signDigest(digest, { signal: unending });
      await expectFailure('a call after close', lateCall, { code: 'PROVIDER_CLOSED', secrets });
    }),
  ];
}

/** The ways to have the provider itself sign, by the name of the port's method. */
function ownSigningCalls(
  provider: KeyProvider,
): readonly (readonly [string, (signal: AbortSignal) => Promise<unknown>])[] {
  const digest = selfTestDigest(faultSender);
  return [
    ['signDigest', (signal) => provider.signDigest(digest, { signal })],
    ...(provider.signDigests
      ? [
          [
            'signDigests',
            (signal: AbortSignal) =>
              Promise.resolve(provider.signDigests?.([digest, digest], { signal })),
          ] as const,
        ]
      : []),
  ];
}

/** What is signed while a fault lasts. */
const faultSender = senderWithNumber(1_000_000);

/** Where the test set-up can make the device hang, the calls are certain to be under way. */
function closedInTheMiddle(subject: ConformanceSubject): ConformanceCase {
  const { secrets } = subject;
  const closeWhileSigning = async (
    provider: KeyProvider,
    gate: SelfTestGate,
    mustFail: boolean,
  ): Promise<void> => {
    const count = Math.min(2 * provider.concurrency, callsAtOnce);
    const calls = Array.from({ length: count }, (_, number) => gate.sign(senderWithNumber(number)));
    const outcomes = Promise.allSettled(calls);
    if (mustFail) await delay(deadlineMs);
    const closed = provider.close();
    for (const [number, outcome] of (await settled('calls under way', outcomes)).entries()) {
      if (outcome.status === 'fulfilled' && !mustFail) {
        const digest = selfTestDigest(senderWithNumber(number));
        expectEthereumSignature(outcome.value, digest, gate.publicKey);
      } else {
        await expectFailure(`call ${number}`, calls[number] ?? Promise.resolve(), {
          code: 'PROVIDER_CLOSED',
          secrets,
        });
      }
    }
    await settled('close', closed);
  };
  const canHang = subject.faults?.hang !== undefined;
  return {
    name: `ends the calls under way when it is closed${canHang ? ' (fault at the device)' : ''}`,
    safe: false,
    faultAt: canHang ? 'device' : undefined,
    run: () =>
      canHang
        ? withFault(subject, 'hang', ({ provider, gate }) =>
            closeWhileSigning(provider, gate, true),
          )
        : withProvider(subject, async (provider) =>
            closeWhileSigning(provider, await openSelfTestGate(provider), false),
          ),
  };
}

type FaultyKey = {
  readonly provider: KeyProvider;
  readonly gate: SelfTestGate;
  readonly faultAt: 'device' | 'port';
  /** Ends the fault. May be called twice. */
  stop(): Promise<void>;
};

async function withProvider(
  subject: ConformanceSubject,
  use: (provider: KeyProvider) => Promise<void>,
): Promise<void> {
  const provider = await settled('open', subject.open());
  try {
    await use(provider);
  } finally {
    await settled('close', provider.close());
  }
}

function withFault(
  subject: ConformanceSubject,
  fault: DeviceFault,
  use: (key: FaultyKey) => Promise<void>,
): Promise<void> {
  return withProvider(subject, async (opened) => {
    const startAtDevice = subject.faults?.[fault];
    const atPort = createPortFault(opened, fault);
    const provider = startAtDevice ? opened : atPort.provider;
    const gate = await openSelfTestGate(provider);
    atPort.start();
    let stopAtDevice = await startAtDevice?.(selfTestDigest(faultSender));
    const stop = async (): Promise<void> => {
      atPort.stop();
      await stopAtDevice?.();
      stopAtDevice = undefined;
    };
    try {
      await use({ provider, gate, faultAt: startAtDevice ? 'device' : 'port', stop });
    } finally {
      await stop();
    }
  });
}

/** A signature over the self-test with this number that anybody can verify. */
async function expectServing(gate: SelfTestGate, what: string, number?: number): Promise<void> {
  const sender = number === undefined ? faultSender : senderWithNumber(number);
  const signature = await settled(what, gate.sign(sender));
  expectEthereumSignature(signature, selfTestDigest(sender), gate.publicKey);
}

/** As a request's deadline ends a call, with a timer that keeps the process alive. */
function deadline(): AbortSignal {
  const controller = new AbortController();
  const reason = new DOMException('the deadline has passed', 'TimeoutError');
  setTimeout(() => controller.abort(reason), deadlineMs);
  return controller.signal;
}

/** As a client that hangs up ends a call. */
function cancelled(): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), deadlineMs);
  return controller.signal;
}
