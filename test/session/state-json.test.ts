import { describe, expect, it } from 'vitest';
import { fromHex, parseAddress } from '../../src/pm/bytes.ts';
import type { SessionState } from '../../src/pm/session-state.ts';
import { rational } from '../../src/pm/rational.ts';
import {
  decodeState,
  encodeExtendedState,
  encodeUpstreamState,
} from '../../src/session/state-json.ts';
import { emptyState } from './empty-state.ts';

const address = (digit: string) => {
  const read = parseAddress(`0x${digit.repeat(40)}`);
  if (!read) throw new Error('no address');
  return read;
};
const decode = (text: string): SessionState => decodeState(Buffer.from(text));

const full: SessionState = {
  stateId: 's-1',
  pmSessionId: `0x${'ab'.repeat(32)}`,
  lastUpdate: 1_775_592_000_123_456_789n,
  orchestratorAddress: address('1'),
  app: 'an <app>',
  authExpiry: -7n,
  senderNonce: 4_294_967_295,
  balance: rational(-7n, 3n),
  initialPrice: { pricePerUnit: 9_223_372_036_854_775_807n, pixelsPerUnit: -1n },
  type: 'lv2v',
  sequenceNumber: 18_446_744_073_709_551_615n,
  authId: 'acme:alice',
  recipient: address('2'),
  credentialHash: 'c0ffee',
  principal: 'alice',
  startedAt: 1_775_592_000n,
  spentEv: 10n ** 77n,
  weiPerUsd: rational(10n ** 18n, 3n),
  segmentCredentials: { manifestIdHash: 'aa', signature: fromHex(`0x${'5a'.repeat(65)}`) },
};

const upstream =
  `"StateID":"s-1","PMSessionID":"0x${'ab'.repeat(32)}","LastUpdate":"2026-04-07T20:00:00.123456789Z",` +
  `"OrchestratorAddress":"0x${'1'.repeat(40)}","App":"an \\u003capp\\u003e","AuthExpiry":-7,` +
  '"SenderNonce":4294967295,"Balance":"-7/3","InitialPricePerUnit":9223372036854775807,' +
  '"InitialPixelsPerUnit":-1,"Type":"lv2v","SequenceNumber":18446744073709551615,"AuthID":"acme:alice"';

describe('a session’s books as JSON', () => {
  it('have go-livepeer’s members in its order, and ours after them', () => {
    expect(encodeUpstreamState(full)).toBe(`{${upstream}}`);
    expect(encodeExtendedState(full)).toBe(
      `{${upstream},"Recipient":"0x${'2'.repeat(40)}","CredentialHash":"c0ffee","Principal":"alice",` +
        `"StartedAt":1775592000,"SpentEV":"1${'0'.repeat(77)}","WeiPerUSD":"1000000000000000000/3",` +
        `"ManifestIDHash":"aa","SegCredsSig":"${'Wlpa'.repeat(21)}Wlo="}`,
    );
  });

  it('leave out what was not bound', () => {
    expect(encodeExtendedState(emptyState)).toBe(encodeUpstreamState(emptyState));
    expect(encodeExtendedState({ ...emptyState, startedAt: 1n })).toBe(
      `${encodeUpstreamState(emptyState).slice(0, -1)},"StartedAt":1}`,
    );
  });

  it('are read back as they were', () => {
    expect(decode(encodeExtendedState(full))).toStrictEqual(full);
    expect(decode(encodeExtendedState(emptyState))).toStrictEqual(emptyState);
  });

  it('are those of nothing where nothing is said', () => {
    expect(decode('{}')).toStrictEqual(emptyState);
    expect(decode('{"Balance":"","more":[1]}')).toStrictEqual(emptyState);
    expect(decode('{"balance":"one"}')).toStrictEqual(emptyState);
    expect(decode('{"LastUpdate":"0001-01-01T00:00:00Z"}')).toStrictEqual(emptyState);
  });

  it('have a rate and what was spent however little that is', () => {
    const read = decode('{"WeiPerUSD":"1/3","SpentEV":"0","StartedAt":0}');
    expect(read).toStrictEqual({
      ...emptyState,
      weiPerUsd: rational(1n, 3n),
      spentEv: 0n,
      startedAt: 0n,
    });
  });

  it('have credentials of no manifest id where none is named with the signature', () => {
    const sig = Buffer.alloc(65);
    expect(decode(`{"SegCredsSig":"${sig.toString('base64')}"}`).segmentCredentials).toEqual({
      manifestIdHash: '',
      signature: new Uint8Array(sig),
    });
  });

  it.each([64, 66])('have no credentials whose signature is of %i bytes', (size) => {
    const sig = Buffer.alloc(size).toString('base64');
    expect(decode(`{"ManifestIDHash":"a","SegCredsSig":"${sig}"}`)).toStrictEqual(emptyState);
  });

  it.each([
    'null',
    '[]',
    '"x"',
    '{"StateID":1}',
    '{"PMSessionID":1}',
    '{"LastUpdate":"today"}',
    '{"LastUpdate":1}',
    '{"OrchestratorAddress":"0x12"}',
    '{"App":1}',
    '{"AuthExpiry":"1"}',
    '{"AuthExpiry":9223372036854775808}',
    '{"AuthExpiry":-9223372036854775809}',
    '{"SenderNonce":-1}',
    '{"SenderNonce":4294967296}',
    '{"Balance":1}',
    '{"InitialPricePerUnit":9223372036854775808}',
    '{"InitialPixelsPerUnit":1.5}',
    '{"Type":"other"}',
    '{"SequenceNumber":-1}',
    '{"SequenceNumber":18446744073709551616}',
    '{"AuthID":1}',
    '{"Recipient":"me"}',
    '{"CredentialHash":1}',
    '{"Principal":1}',
    '{"StartedAt":9223372036854775808}',
    `{"SpentEV":"${'1'.repeat(79)}"}`,
    '{"SpentEV":"-1"}',
    '{"SpentEV":""}',
    '{"SpentEV":"1x"}',
    '{"SpentEV":1}',
    '{"WeiPerUSD":"0"}',
    '{"WeiPerUSD":"-1"}',
    '{"WeiPerUSD":"x"}',
    '{"ManifestIDHash":1}',
    '{"SegCredsSig":"*"}',
  ])('are refused as %s', (text) => {
    expect(() => decode(text)).toThrow(/field|object|expected|must/i);
  });
});
