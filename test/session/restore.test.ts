import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { SessionState } from '../../src/pm/session-state.ts';
import { type RestoreOptions, restoreSession } from '../../src/session/restore.ts';
import { encodeExtendedState } from '../../src/session/state-json.ts';
import { OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import { decodeOrchestratorInfo } from '../../src/wire/orchestrator-info.ts';
import { decodePaymentRequest } from '../../src/wire/payment-request.ts';
import { emptyState } from './empty-state.ts';

/** What an orchestrator offers; its challenge's auth session id, where there is a challenge. */
const offer = (sessionId?: string) =>
  decodeOrchestratorInfo(
    toBinary(
      OrchestratorInfoSchema,
      create(OrchestratorInfoSchema, {
        address: Uint8Array.from({ length: 20 }, () => 0x11),
        priceInfo: { pricePerUnit: 3n, pixelsPerUnit: 2n },
        ticketParams: { recipient: Uint8Array.from({ length: 20 }, () => 0x22) },
        ...(sessionId !== undefined && { authToken: { sessionId, expiration: 5n } }),
      }),
    ),
  );
const orchestrator = offer();

it('a session without a state begins with books of nothing, and an id of its own', () => {
  const request = decodePaymentRequest(Buffer.from('{"app":"an app","type":"lv2v"}'));
  let ids = 0;
  const options = { manifestIdRule: 'any', randomId: () => `id-${(ids += 1)}` } as const;
  expect(restoreSession(request, orchestrator, options)).toStrictEqual({
    books: {
      ...emptyState,
      stateId: 'id-1',
      orchestratorAddress: `0x${'11'.repeat(20)}`,
      app: 'an app',
      initialPrice: orchestrator.price,
      recipient: `0x${'22'.repeat(20)}`,
    },
    isNew: true,
    manifestId: 'id-2',
  });
});

const own: SessionState = {
  ...emptyState,
  stateId: 's-1',
  orchestratorAddress: orchestrator.address,
  app: 'an app',
  type: 'lv2v',
  sequenceNumber: 4n,
  recipient: `0x${'22'.repeat(20)}` as SessionState['orchestratorAddress'],
};
const withToken = offer('challenge-1');

type Parts = {
  readonly books?: Partial<SessionState> | undefined;
  readonly state?: string;
  readonly body?: object;
  readonly from?: typeof orchestrator;
  readonly manifestIdRule?: RestoreOptions['manifestIdRule'];
};

/** What becomes of a request that goes on with a session, which nothing is wrong with but these parts. */
function restore({ books, state, body, from = orchestrator, manifestIdRule = 'any' }: Parts) {
  const text = state ?? encodeExtendedState({ ...own, ...books });
  const sealed = { State: Buffer.from(text).toString('base64'), Sig: 'AA==' };
  const request = { app: 'an app', type: 'lv2v', manifestID: 'mid', state: sealed, ...body };
  const options = { manifestIdRule, randomId: () => 'made-up' };
  return restoreSession(decodePaymentRequest(Buffer.from(JSON.stringify(request))), from, options);
}

describe('a session that goes on', () => {
  it('has its books as they were, one payment further', () => {
    expect(restore({})).toStrictEqual({
      books: { ...own, sequenceNumber: 5n },
      isNew: false,
      manifestId: 'mid',
    });
  });

  it('takes a type where it had none, and is bound to the recipient that it pays', () => {
    const { books } = restore({ books: { type: '', recipient: undefined } });
    expect(books).toStrictEqual({ ...own, type: '', sequenceNumber: 5n });
    expect(restore({ books: { type: '' }, body: { type: 'live' } }).books.type).toBe('');
  });

  it.each<[string, Parts, string]>([
    ['no JSON', { state: '{' }, 'STATE_MALFORMED'],
    ['no books', { state: '{"StateID":1}' }, 'STATE_MALFORMED'],
    [
      'another orchestrator',
      { books: { orchestratorAddress: emptyState.orchestratorAddress } },
      'STATE_ORCHESTRATOR_MISMATCH',
    ],
    ['another app', { body: { app: 'another' } }, 'STATE_APP_MISMATCH'],
    ['another type', { body: { type: 'live' } }, 'STATE_TYPE_MISMATCH'],
    ['no manifest id', { body: { manifestID: '' } }, 'MANIFEST_ID_MISSING'],
    [
      'another recipient',
      { books: { recipient: emptyState.orchestratorAddress } },
      'STATE_RECIPIENT_MISMATCH',
    ],
    ['a long app', { body: { app: 'ä'.repeat(128) } }, 'APP_TOO_LONG'],
    ['a long manifest id', { body: { manifestID: 'ä'.repeat(128) } }, 'MANIFEST_ID_INVALID'],
  ])('is refused with %s', (_, parts, code) => {
    const refused = expect.objectContaining({ name: 'RequestError', code }) as Error;
    expect(() => restore(parts)).toThrow(refused);
    if (code === 'STATE_MALFORMED') {
      expect(() => restore(parts)).toThrow(
        expect.objectContaining({ cause: expect.any(Error) as Error }) as Error,
      );
    }
  });

  it('may have names of 255 bytes', () => {
    const name = `${'ä'.repeat(127)}x`;
    const { books, manifestId } = restore({
      books: { app: name },
      body: { app: name, manifestID: name },
    });
    expect([books.app, manifestId]).toEqual([name, name]);
  });
});

describe('the manifest id', () => {
  it.each<[string, Parts, string]>([
    ['the request’s', {}, 'mid'],
    ['the request’s, of type live', { books: { type: 'live' }, body: { type: 'live' } }, 'mid'],
    [
      'the challenge’s where live names none',
      {
        books: { type: 'live' },
        body: { type: 'live', manifestID: '' },
        from: withToken,
        manifestIdRule: 'match',
      },
      'challenge-1',
    ],
    [
      'the challenge’s where fixed names none',
      { books: { type: 'fixed' }, body: { type: 'fixed', manifestID: '' }, from: withToken },
      'challenge-1',
    ],
    [
      'the request’s where any may be named',
      { books: { type: 'live' }, body: { type: 'live' }, from: withToken },
      'mid',
    ],
    [
      'the challenge’s where that must be named, and is',
      {
        books: { type: 'fixed' },
        body: { type: 'fixed', manifestID: 'challenge-1' },
        from: withToken,
        manifestIdRule: 'match',
      },
      'challenge-1',
    ],
    ['the request’s of type lv2v', { from: withToken, manifestIdRule: 'match' }, 'mid'],
  ])('is %s', (_, parts, id) => {
    expect(restore(parts).manifestId).toBe(id);
  });

  it('that must be the challenge’s, and is another, is told with both', () => {
    const parts: Parts = {
      books: { type: 'live' },
      body: { type: 'live' },
      from: withToken,
      manifestIdRule: 'match',
    };
    expect(() => restore(parts)).toThrow(
      expect.objectContaining({
        code: 'MANIFEST_ID_MISMATCH',
        data: { field: 'ManifestID', actual: 'mid', expected: 'challenge-1' },
      }) as Error,
    );
  });

  it('is missing where neither request nor challenge has one', () => {
    const from = offer('');
    const missing = expect.objectContaining({ code: 'MANIFEST_ID_MISSING' }) as Error;
    const body = { type: 'live', manifestID: '' };
    expect(() => restore({ books: { type: 'live' }, body, from })).toThrow(missing);
    expect(() => restore({ books: { type: 'live' }, body })).toThrow(missing);
    expect(() => restore({ body: { manifestID: '' }, from: withToken })).toThrow(missing);
  });
});
