import { secp256k1 } from '@noble/curves/secp256k1';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type ConformanceCase,
  type ConformanceSubject,
  conformanceCases,
} from '../../src/keys/conformance/cases.ts';
import { type CallOptions, type KeyProvider, ProviderError } from '../../src/keys/provider.ts';
import { type Defect, createMemorySubject, inBatches, secret } from './memory-key.ts';

const gone = new ProviderError('PROVIDER_UNAVAILABLE', 'gone');

/** What a case says of a provider; undefined for nothing. */
async function findingOf({ run }: ConformanceCase): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What the suite says of a provider, by the cases that say anything, without where they cause their faults. */
async function findings(
  subject: ConformanceSubject,
  cases = conformanceCases(subject),
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const each of cases) {
    const says = await findingOf(each);
    if (says !== undefined) found[each.name.replace(/ \(.*/, '')] = says;
  }
  return found;
}

function caseOf(subject: ConformanceSubject, start: string): ConformanceCase {
  const [found, ...more] = conformanceCases(subject).filter(({ name }) => name.startsWith(start));
  if (!found || more.length > 0) throw new Error(`not one case is called "${start}"`);
  return found;
}

/** Those cases that ask for more than signatures. */
const aboutOthers = (subject: ConformanceSubject): ConformanceCase[] =>
  ['is healthy', 'refuses every call once it is closed', 'tells no secret'].map((start) =>
    caseOf(subject, start),
  );

/** The subject whose providers are what `change` makes of them. */
function changed(
  subject: ConformanceSubject,
  change: (provider: KeyProvider) => KeyProvider,
): ConformanceSubject {
  return { ...subject, open: async () => change(await subject.open()) };
}

it('has these cases, by where each causes its fault', () => {
  const cases = (subject: ConformanceSubject) =>
    conformanceCases(subject).map(({ name, safe, faultAt }) => [name, safe, faultAt]);
  const withDevice = createMemorySubject();
  const safe = [
    'gives its public key as 65 bytes on the curve, the same each time',
    'names itself in one line and takes at least one call at once',
    'is healthy and describes its key, where it offers that',
    'signs the self-test through the gate',
  ].map((name) => [name, true, undefined]);
  const plain = [
    'gives the same public key when it is opened again',
    'signs known digests as they are and leaves them as they were',
    'signs batches of known digests in their order, where it offers that',
    'gives signatures with a low s after the gate',
  ].map((name) => [name, false, undefined]);
  const at = (place: string, name: string) => [`${name} (fault at the ${place})`, false, place];
  const told = (place: string, closing: (string | boolean | undefined)[]) => [
    ...safe,
    ...plain,
    at('port', 'has a high s made low'),
    at('port', "has another key's signature refused"),
    at('port', 'has a reply that is no signature refused'),
    at('port', 'has a truncated signature refused'),
    at(place, 'ends a call that hangs at its deadline'),
    at(place, 'ends a cancelled call at once'),
    ['refuses a call that was cancelled before it was made', false, undefined],
    at(place, 'tells of throttling as such, to be tried again'),
    at('port', 'tells of a lost connection as such, to be tried again'),
    ['signs 100 digests at once', false, undefined],
    closing,
    ['can be closed twice', false, undefined],
    ['refuses every call once it is closed', false, undefined],
    ['tells no secret in its name, its attributes and its errors', false, undefined],
  ];
  const closing = 'ends the calls under way when it is closed';
  expect(cases(withDevice)).toEqual(told('device', at('device', closing)));
  const withoutFaults = { secrets: withDevice.secrets, open: () => withDevice.open() };
  expect(cases(withoutFaults)).toEqual(told('port', [closing, false, undefined]));
});

describe('the suite finds a provider', () => {
  it('that fails whenever it is to sign', async () => {
    const failing = createMemorySubject(() => ({ signDigest: () => Promise.reject(gone) }));
    const found = 'found PROVIDER_UNAVAILABLE: gone';
    expect(await findings(failing)).toEqual({
      'signs the self-test through the gate': 'gone',
      'gives the same public key when it is opened again': 'gone',
      'signs known digests as they are and leaves them as they were': 'gone',
      'gives signatures with a low s after the gate': 'gone',
      'has a high s made low': 'gone',
      "has another key's signature refused": `expected the call to fail with PROVIDER_REPLY_INVALID; ${found}`,
      'has a reply that is no signature refused': `expected the call to fail with PROVIDER_REPLY_INVALID; ${found}`,
      'has a truncated signature refused': `expected the call to fail with PROVIDER_REPLY_INVALID; ${found}`,
      'ends a call that hangs at its deadline': `expected the call to fail with PROVIDER_TIMEOUT; ${found}`,
      'ends a cancelled call at once': `expected the call to fail with REQUEST_ABORTED; ${found}`,
      'refuses a call that was cancelled before it was made': `expected signDigest to fail with REQUEST_ABORTED; ${found}`,
      'tells of throttling as such, to be tried again': `expected the call to fail with PROVIDER_THROTTLED; ${found}`,
      'tells of a lost connection as such, to be tried again': 'gone',
      'signs 100 digests at once': 'gone',
      'ends the calls under way when it is closed': `expected call 0 to fail with PROVIDER_CLOSED; ${found}`,
      'refuses every call once it is closed': `expected signDigest to fail with PROVIDER_CLOSED; ${found}`,
      'tells no secret in its name, its attributes and its errors': `expected a cancelled call to fail with REQUEST_ABORTED; ${found}`,
    });
  });

  const privateKey = new Uint8Array(32).fill(7);
  const signAtOnce = (digest: Uint8Array) =>
    Promise.resolve({
      encoding: 'raw' as const,
      bytes: secp256k1.sign(digest, privateKey).toCompactRawBytes(),
    });
  const untouched = () => Promise.resolve(() => Promise.resolve());

  it('that signs whatever the device does, and whoever has left', async () => {
    const heedless: ConformanceSubject = {
      secrets: [secret],
      faults: { hang: untouched, throttling: untouched, 'lost-connection': untouched },
      open: () =>
        Promise.resolve({
          keyRef: 'memory:heedless',
          concurrency: 8,
          getPublicKey: () => Promise.resolve(secp256k1.getPublicKey(privateKey, false)),
          signDigest: signAtOnce,
          close: () => Promise.resolve(),
        }),
    };
    const thatItDoes = 'found that it succeeded';
    expect(await findings(heedless)).toEqual({
      'ends a call that hangs at its deadline': `expected the call to fail; ${thatItDoes}`,
      'ends a cancelled call at once': `expected the call to fail; ${thatItDoes}`,
      'refuses a call that was cancelled before it was made': `expected signDigest to fail; ${thatItDoes}`,
      'tells of throttling as such, to be tried again': `expected the call to fail; ${thatItDoes}`,
      'tells of a lost connection as such, to be tried again': `expected the call to fail; ${thatItDoes}`,
      'ends the calls under way when it is closed': `expected call 0 to fail; ${thatItDoes}`,
      'refuses every call once it is closed': `expected signDigest to fail; ${thatItDoes}`,
      'tells no secret in its name, its attributes and its errors': `expected a cancelled call to fail; ${thatItDoes}`,
    });
  });

  it.each([
    ['signDigest', { 'tells no secret': 'a cancelled call' }],
    ['signDigests', {}],
  ] as const)('that heeds its signal in the gate’s calls alone, in %s', async (method, more) => {
    const bytes = new Uint8Array(64).fill(1);
    const anything = { encoding: 'raw', bytes } as const;
    const ofGate = ({ turn }: CallOptions): boolean => turn !== undefined;
    const subject = createMemorySubject((key, device) => {
      if (method === 'signDigest') {
        return {
          signDigest: (digest, options) =>
            ofGate(options) || !(device.isHanging || options.signal.aborted)
              ? key.signDigest(digest, options)
              : Promise.resolve(anything),
        };
      }
      const { signDigests } = inBatches(key, device);
      return {
        signDigests: async (digests, options) =>
          ofGate(options) || !(device.isHanging || options.signal.aborted)
            ? ((await signDigests?.(digests, options)) ?? [])
            : digests.map(() => anything),
      };
    });
    const found = await findings(subject);
    const own = `expected the provider's own ${method} to fail; found that it succeeded`;
    const others = Object.entries(more).map(([, what]) => [
      'tells no secret in its name, its attributes and its errors',
      `expected ${what} to fail; found that it succeeded`,
    ]);
    expect(found).toEqual({
      'ends a call that hangs at its deadline': own,
      'ends a cancelled call at once': own,
      'refuses a call that was cancelled before it was made': `expected ${method} to fail; found that it succeeded`,
      ...(Object.fromEntries(others) as object),
    });
  });

  it.each([
    ['may not be tried again', new ProviderError('PROVIDER_UNAVAILABLE', 'cut')],
    ['is a time-out', new ProviderError('PROVIDER_TIMEOUT', 'late', { retryable: true })],
  ])('whose lost connection %s', async (_, failure) => {
    let isCut = false;
    const subject = createMemorySubject((key) => ({
      signDigest: (digest, options) =>
        isCut ? Promise.reject(failure) : key.signDigest(digest, options),
    }));
    const cut = () => {
      isCut = true;
      return Promise.resolve(() => {
        isCut = false;
        return Promise.resolve();
      });
    };
    const lost = caseOf({ ...subject, faults: { 'lost-connection': cut } }, 'tells of a lost');
    expect(lost.faultAt).toBe('device');
    expect(await findingOf(lost)).toBe(
      failure.retryable
        ? 'expected the call to fail with PROVIDER_UNAVAILABLE; found PROVIDER_TIMEOUT: late'
        : 'expected the call to fail as retryable; found retryable: false',
    );
    expect(isCut).toBe(false);
  });

  const known = [
    `${'0'.repeat(63)}1`,
    `8${'0'.repeat(63)}`,
    'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140',
    'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364142',
    'f'.repeat(64),
    'the hash of a text',
    'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470',
  ];

  it.each(known.map((_, index) => index))(
    'that signs one digest in a hundred wrong, or leaves it changed: known digest %i',
    async (index) => {
      const seen: string[] = [];
      const hex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex');
      const signs = 'signs known digests';
      await findingOf(
        caseOf(
          createMemorySubject((key) => ({
            signDigest: (digest, options) => {
              seen.push(hex(digest));
              return key.signDigest(digest, options);
            },
          })),
          signs,
        ),
      );
      const listed = known.map((digest, place) => (place === 5 ? seen[place] : digest));
      expect(seen).toEqual(listed);
      expect(new Set(seen).size).toBe(known.length);
      const wrong = seen[index];
      const isWrong = (digest: Uint8Array): boolean => hex(digest) === wrong;
      const other = new Uint8Array(32).fill(3);
      const lying: Defect = (key) => ({
        signDigest: (digest, options) => key.signDigest(isWrong(digest) ? other : digest, options),
      });
      const inOneCall: Defect = (key, device) => ({
        signDigests: async (digests, options) =>
          (await inBatches({ ...key, ...lying(key, device) }, device).signDigests?.(
            digests,
            options,
          )) ?? [],
      });
      const scribbling: Defect = (key, device) => ({
        signDigests: async (digests, options) => {
          const replies = (await inBatches(key, device).signDigests?.(digests, options)) ?? [];
          for (const digest of digests) if (isWrong(digest)) digest.fill(0);
          return replies;
        },
      });
      const batches = 'signs batches of known digests';
      expect(await findingOf(caseOf(createMemorySubject(lying), signs))).toMatch(
        /does not recover/,
      );
      expect(await findingOf(caseOf(createMemorySubject(inOneCall), batches))).toMatch(
        /does not recover/,
      );
      expect(await findingOf(caseOf(createMemorySubject(scribbling), batches))).toBe(
        `expected ${wrong}; found ${'0'.repeat(64)}`,
      );
    },
  );

  it.each([1, 2, 7])('that mistakes batches of %i', async (size) => {
    const asked: number[] = [];
    const subject = createMemorySubject((key, device) => ({
      signDigests: async (digests, options) => {
        asked.push(digests.length);
        const replies = (await inBatches(key, device).signDigests?.(digests, options)) ?? [];
        return digests.length === size ? [...replies, ...replies] : replies;
      },
    }));
    expect(await findingOf(caseOf(subject, 'signs batches of known digests'))).toBe(
      `expected ${size} signatures; found ${2 * size}`,
    );
    expect(asked).toEqual([1, 2, 7].slice(0, [1, 2, 7].indexOf(size) + 1));
  });

  it('that leaves a hole in a batch', async () => {
    const subject = createMemorySubject((key, device) => ({
      signDigests: async (digests, options) => {
        const replies = (await inBatches(key, device).signDigests?.(digests, options)) ?? [];
        return replies.map((reply, index) => (index === 1 ? (undefined as never) : reply));
      },
    }));
    expect(await findingOf(caseOf(subject, 'signs batches of known digests'))).toBe(
      'expected a signature; found none',
    );
  });

  it.each(['checkHealth', 'describeKey'] as const)(
    'that still answers %s when it is closed',
    async (method) => {
      const subject = createMemorySubject(() => ({
        [method]: () => Promise.resolve(method === 'describeKey' ? {} : undefined),
      }));
      expect(await findings(subject, aboutOthers(subject))).toEqual({
        'refuses every call once it is closed': `expected ${method} to fail; found that it succeeded`,
      });
    },
  );

  it('that is ill', async () => {
    const subject = createMemorySubject(() => ({ checkHealth: () => Promise.reject(gone) }));
    expect(await findings(subject, aboutOthers(subject))).toEqual({
      'is healthy and describes its key, where it offers that': 'gone',
      'refuses every call once it is closed':
        'expected checkHealth to fail with PROVIDER_CLOSED; found PROVIDER_UNAVAILABLE: gone',
    });
  });

  it('that takes more calls at once than it says', async () => {
    const subject = changed(createMemorySubject(), (provider) => {
      let reads = 0;
      const concurrency = { get: () => ((reads += 1) > 1 ? 4 : 8), enumerable: true };
      return Object.defineProperty(provider, 'concurrency', concurrency);
    });
    expect(await findingOf(caseOf(subject, 'signs 100 digests at once'))).toBe(
      'expected at most 4 calls under way; found 8',
    );
  });
});

describe('a key whose secrets', () => {
  it.each([
    [[], 'found 0, empty ones counted'],
    [[''], 'found 1, empty ones counted'],
    [['hunter2', ''], 'found 2, empty ones counted'],
    [['hunter2'], undefined],
    [['hunter2', 'correct horse'], undefined],
  ])('are %j is told of what is missing', async (secrets, says) => {
    const subject = { ...createMemorySubject(), secrets };
    expect(await findingOf(caseOf(subject, 'tells no secret'))).toBe(
      says && `expected the subject to name at least one secret to look for; ${says}`,
    );
  });
});

describe('a provider conforms', () => {
  it('that offers neither batches nor health nor a description', async () => {
    const bare = changed(createMemorySubject(), (provider) => {
      const { keyRef, concurrency } = provider;
      return {
        keyRef,
        concurrency,
        getPublicKey: (options) => provider.getPublicKey(options),
        signDigest: (digest, options) => provider.signDigest(digest, options),
        close: () => provider.close(),
      };
    });
    expect(await findings(bare, aboutOthers(bare))).toEqual({});
  });

  it('that offers its health', async () => {
    let isClosed = false;
    const subject = createMemorySubject((key) => ({
      checkHealth: () =>
        isClosed
          ? Promise.reject(new ProviderError('PROVIDER_CLOSED', 'closed'))
          : Promise.resolve(),
      close: () => {
        isClosed = true;
        return key.close();
      },
    }));
    const opening = { ...subject, open: () => ((isClosed = false), subject.open()) };
    expect(await findings(opening, aboutOthers(opening))).toEqual({});
  });

  it('whose device has one session at a time, which the suite gives back each time', async () => {
    const subject = createMemorySubject();
    let sessions = 0;
    const single: ConformanceSubject = {
      ...subject,
      async open() {
        if (sessions > 0) throw new Error('the token is in use');
        sessions += 1;
        const provider = await subject.open();
        let isOpen = true;
        return {
          ...provider,
          close: () => {
            if (isOpen) sessions -= 1;
            isOpen = false;
            return provider.close();
          },
        };
      },
    };
    expect(await findings(single)).toEqual({});
    expect(sessions).toBe(0);
    const failing = changed(single, (provider) => ({
      ...provider,
      getPublicKey: () => Promise.reject(gone),
    }));
    expect(Object.values(await findings(failing))).not.toContain('the token is in use');
    expect(sessions).toBe(0);
  });

  it('that ends its calls first when it is closed', async () => {
    const polite = changed({ ...createMemorySubject(), faults: {} }, (provider) => {
      const underWay = new Set<Promise<unknown>>();
      return {
        ...provider,
        signDigest: (digest, options) => {
          const call = provider.signDigest(digest, options);
          underWay.add(call);
          return call;
        },
        close: async () => {
          for (let turn = 0; turn < 50; turn += 1) {
            await new Promise((resolve) => setImmediate(resolve));
            await Promise.allSettled(underWay);
          }
          await provider.close();
        },
      };
    });
    expect(await findingOf(caseOf(polite, 'ends the calls under way'))).toBeUndefined();
  });
});

describe('the suite asks', () => {
  /** How many signatures each case asks the provider for, and how often it closes it. */
  async function countsOf(subject: ConformanceSubject): Promise<[string, number, number][]> {
    const counts: [string, number, number][] = [];
    let [signed, closed] = [0, 0];
    const counting = changed(subject, (provider) => ({
      ...provider,
      signDigest: (digest, options) => {
        signed += 1;
        return provider.signDigest(digest, options);
      },
      close: () => {
        closed += 1;
        return provider.close();
      },
    }));
    for (const each of conformanceCases(counting)) {
      [signed, closed] = [0, 0];
      expect(await findingOf(each)).toBeUndefined();
      counts.push([each.name.replace(/ \(.*/, ''), signed, closed]);
    }
    return counts;
  }

  it('for as many signatures as it needs, and closes what it opened', async () => {
    expect(await countsOf(createMemorySubject())).toEqual([
      ['gives its public key as 65 bytes on the curve, the same each time', 0, 1],
      ['names itself in one line and takes at least one call at once', 0, 1],
      ['is healthy and describes its key, where it offers that', 0, 1],
      ['signs the self-test through the gate', 1, 1],
      ['gives the same public key when it is opened again', 1, 3],
      ['signs known digests as they are and leaves them as they were', 7, 1],
      ['signs batches of known digests in their order, where it offers that', 0, 1],
      ['gives signatures with a low s after the gate', 16, 1],
      ['has a high s made low', 2, 1],
      ["has another key's signature refused", 2, 1],
      ['has a reply that is no signature refused', 2, 1],
      ['has a truncated signature refused', 2, 1],
      ['ends a call that hangs at its deadline', 3, 1],
      ['ends a cancelled call at once', 3, 1],
      ['refuses a call that was cancelled before it was made', 2, 1],
      ['tells of throttling as such, to be tried again', 2, 1],
      ['tells of a lost connection as such, to be tried again', 1, 1],
      ['signs 100 digests at once', 100, 1],
      ['ends the calls under way when it is closed', 16, 2],
      ['can be closed twice', 0, 4],
      ['refuses every call once it is closed', 1, 2],
      ['tells no secret in its name, its attributes and its errors', 2, 2],
    ]);
  });

  it('for a hundred calls at most while it closes, all that the key takes at once under way', async () => {
    for (const [concurrency, calls] of [
      [8, 16],
      [60, 100],
    ] as const) {
      let [signed, underWay, underWayAtClose] = [0, 0, -1];
      const subject = createMemorySubject((key) => ({
        concurrency,
        signDigest: async (digest, options) => {
          signed += 1;
          underWay += 1;
          return key.signDigest(digest, options).finally(() => (underWay -= 1));
        },
        close: () => {
          if (underWayAtClose < 0) underWayAtClose = underWay;
          return key.close();
        },
      }));
      expect(await findingOf(caseOf(subject, 'ends the calls under way'))).toBeUndefined();
      expect([signed, underWayAtClose]).toEqual([calls, concurrency]);
    }
  });

  it('a device that can’t hang to end calls that have not come back yet', async () => {
    let signed = 0;
    const subject = createMemorySubject((key) => ({
      signDigest: async (digest, options) => {
        const reply = await key.signDigest(digest, options);
        signed += 1;
        return reply;
      },
    }));
    expect(
      await findingOf(caseOf({ ...subject, faults: {} }, 'ends the calls under way')),
    ).toBeUndefined();
    expect(signed).toBe(0);
  });

  it('the device for its fault once, with what is signed meanwhile, and ends it whatever comes', async () => {
    const told: string[] = [];
    const during: string[] = [];
    let isFaulty = false;
    let fails = false;
    const hex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex');
    const subject: ConformanceSubject = {
      ...createMemorySubject((key) => ({
        signDigest: (digest, options) => {
          if (!isFaulty) return key.signDigest(digest, options);
          during.push(hex(digest));
          const failure = { retryable: !fails };
          return Promise.reject(
            new ProviderError('PROVIDER_THROTTLED', 'asked too often', failure),
          );
        },
      })),
      faults: {
        throttling: (digest) => {
          told.push(`start ${hex(digest)}`);
          isFaulty = true;
          return Promise.resolve(() => {
            told.push('stop');
            isFaulty = false;
            return Promise.resolve();
          });
        },
      },
    };
    const throttling = caseOf(subject, 'tells of throttling');
    expect(await findingOf(throttling)).toBeUndefined();
    expect(during).toHaveLength(1);
    expect(told).toEqual([`start ${during[0]}`, 'stop']);
    fails = true;
    expect(await findingOf(throttling)).toBe(
      'expected the call to fail as retryable; found retryable: false',
    );
    expect(told.slice(2)).toEqual([`start ${during[0]}`, 'stop']);
  });
});

describe('a call that never ends', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  const hangs = (what: string): string =>
    `expected ${what} to settle in 15000 ms; found that it hangs`;

  it.each<[keyof KeyProvider, string, string, number]>([
    ['getPublicKey', 'gives its public key', 'getPublicKey', 1],
    ['checkHealth', 'is healthy', 'checkHealth', 1],
    ['describeKey', 'is healthy', 'describeKey', 1],
    ['signDigest', 'signs the self-test', 'the self-test', 1],
    ['signDigest', 'signs known digests', 'signDigest', 1],
    ['signDigests', 'signs batches of known digests', 'signDigests', 1],
    ['signDigest', 'gives signatures with a low s', 'call 0', 1],
    ['signDigest', 'has a high s made low', 'the call', 1],
    ['signDigest', "has another key's signature", 'the call', 1],
    ['signDigest', 'tells of a lost connection', 'the next call', 1],
    ['signDigest', 'gives the same public key', 'a call after opening again', 1],
    ['signDigest', 'refuses a call that was cancelled', 'signDigest', 1],
    ['signDigest', 'signs 100 digests at once', 'call 0', 1],
    ['signDigest', 'tells no secret', 'a cancelled call', 1],
    ['close', 'gives the same public key', 'close', 1],
    ['close', 'names itself', 'close', 1],
    ['close', 'can be closed twice', 'closing twice', 2],
    ['close', 'can be closed twice', 'closing once more', 3],
    ['close', 'refuses every call once it is closed', 'close', 1],
    ['close', 'tells no secret', 'close', 1],
    ['close', 'ends the calls under way', 'close', 1],
  ])(
    'of %s, while it %s, is found after 15 s: %s, at call %i',
    async (method, start, what, call) => {
      const reached = Promise.withResolvers<undefined>();
      let calls = 0;
      const subject = createMemorySubject((key, device) => {
        const { [method]: own } = { ...key, ...inBatches(key, device) };
        return {
          [method]: (...args: unknown[]) => {
            calls += 1;
            if (calls < call || (method === 'close' && calls > call)) {
              return typeof own === 'function'
                ? (own as (...given: unknown[]) => unknown)(...args)
                : undefined;
            }
            if (calls === call) reached.resolve(undefined);
            if (method === 'close') void key.close();
            return new Promise<never>(() => undefined);
          },
        };
      });
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      let says: string | undefined;
      const finding = findingOf(caseOf({ ...subject, faults: {} }, start)).then((found) => {
        says = found;
        return found;
      });
      await reached.promise;
      await new Promise((resolve) => setImmediate(resolve));
      await vi.advanceTimersByTimeAsync(14_999);
      expect(says).toBeUndefined();
      await vi.advanceTimersByTimeAsync(1);
      await vi.advanceTimersByTimeAsync(15_000);
      expect(await finding).toBe(hangs(what));
    },
  );

  it('to open the key is found after 15 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const subject = { ...createMemorySubject(), open: () => new Promise<never>(() => undefined) };
    const finding = findingOf(caseOf(subject, 'names itself'));
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await finding).toBe(hangs('open'));
  });

  it('leaves no timer behind once it has ended', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    expect(await findingOf(caseOf(createMemorySubject(), 'signs the self-test'))).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });
});
