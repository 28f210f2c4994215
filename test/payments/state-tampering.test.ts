import { recoverMessageAddress } from 'viem';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { curveOrder } from '../../src/keys/scalars.ts';
import { type Hex, bytesToUint, toHex, uintToBytes32 } from '../../src/pm/bytes.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';
import { type Paid, envelope, expectPaid, expectRefusal } from './expectations.ts';
import {
  type Changes,
  type Members,
  buildRequest,
  nanoseconds,
  seal,
  toJson,
  usualNow,
  usualState,
} from './request-builder.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe.each([
  { seal: 'delegated', sealBytes: 178 },
  { seal: 'key', sealBytes: 65 },
])('a state with the seal $seal', ({ seal: sealSetting, sealBytes }) => {
  let signer: TestSigner;
  let state: Uint8Array;
  let sig: Uint8Array;

  beforeAll(async () => {
    signer = await startTestSigner({ settings: { session: { seal: sealSetting } } });
    signer.now = usualNow - 5_000_000_000n;
    const first = expectPaid(await signer.post(await buildRequest({ state: null })));
    state = Buffer.from(first.sealed.State, 'base64');
    sig = Buffer.from(first.sealed.Sig, 'base64');
    signer.now = usualNow;
  });
  beforeEach(() => signer.key.reset());
  afterAll(() => signer.close());

  /** The rest of the request is right. */
  async function post(State: Uint8Array, Sig: Uint8Array, changes: Changes = {}) {
    const body = { state: { State, Sig }, ...changes.body };
    return signer.post(await buildRequest({ ...changes, state: null, body }));
  }

  /** The labels of those that are not answered with 400 `invalid sig`. */
  async function listUnrefused(
    forgeries: readonly { label: string; state: Uint8Array; sig: Uint8Array }[],
  ): Promise<string[]> {
    const template = await buildRequest({ state: null, body: { state: '@' } });
    const unrefused: string[] = [];
    for (let index = 0; index < forgeries.length; index += 32) {
      await Promise.all(
        forgeries.slice(index, index + 32).map(async ({ label, state: State, sig: Sig }) => {
          const answer = await signer.post(template.replace('"@"', toJson({ State, Sig })));
          const isRefused = answer.status === 400 && answer.text === envelope('invalid sig');
          if (!isRefused) unrefused.push(`${label}: ${answer.status}`);
        }),
      );
    }
    return unrefused;
  }

  const eachByte = (from: Uint8Array, name: string, change: (byte: number) => number) =>
    Array.from(from, (byte, position) => {
      const changed = Uint8Array.from(from);
      changed[position] = change(byte);
      return { label: `${name}[${position}]`, changed };
    });

  const changes: readonly [how: string, change: (byte: number) => number][] = [
    ['with its lowest bit flipped', (byte) => byte ^ 1],
    ['with its highest bit flipped', (byte) => byte ^ 0x80],
    ['one higher', (byte) => (byte + 1) & 0xff],
  ];

  it('is taken as it was given', async () => {
    expectPaid(await post(state, sig));
  });

  it.each(changes)('is refused with any byte of State %s', async (_how, change) => {
    const forgeries = eachByte(state, 'State', change).map(({ label, changed }) => ({
      label,
      state: changed,
      sig,
    }));
    expect(forgeries.length).toBeGreaterThan(300);
    expect(await listUnrefused(forgeries)).toEqual([]);
    expect(signer.key.digests).toHaveLength(0);
  });

  it.each(changes)('is refused with any byte of Sig %s', async (_how, change) => {
    const forgeries = eachByte(sig, 'Sig', change).map(({ label, changed }) => ({
      label,
      state,
      sig: changed,
    }));
    expect(forgeries).toHaveLength(sealBytes);
    expect(await listUnrefused(forgeries)).toEqual([]);
    expect(signer.key.digests).toHaveLength(0);
  });

  it('is refused with State cut at any length', async () => {
    const forgeries = Array.from(state, (_, length) => ({
      label: `State of ${length}`,
      state: state.subarray(0, length),
      sig,
    }));
    expect(await listUnrefused(forgeries)).toEqual([]);
    expect(signer.key.digests).toHaveLength(0);
  });

  it('is refused with Sig cut at any length', async () => {
    const forgeries = Array.from(sig, (_, length) => ({
      label: `Sig of ${length}`,
      state,
      sig: sig.subarray(0, length),
    }));
    expect(await listUnrefused(forgeries)).toEqual([]);
    expect(signer.key.digests).toHaveLength(0);
  });

  // prettier-ignore
  const forgeries: readonly [what: string, state: () => Uint8Array, sig: () => Uint8Array][] = [
    ['State with a byte behind it', () => Buffer.concat([state, Buffer.of(0)]), () => sig],
    ['State with white space behind it', () => Buffer.concat([state, Buffer.of(0x0a)]), () => sig],
    ['State with white space before it', () => Buffer.concat([Buffer.of(0x20), state]), () => sig],
    ['State twice', () => Buffer.concat([state, state]), () => sig],
    ['State written anew', () => bytes(JSON.stringify(JSON.parse(Buffer.from(state).toString()), undefined, 1)), () => sig],
    ['no State', () => Buffer.of(), () => sig],
    ['no Sig', () => state, () => Buffer.of()],
    ['Sig with a byte behind it', () => state, () => Buffer.concat([sig, Buffer.of(0)])],
    ['Sig with a byte before it', () => state, () => Buffer.concat([Buffer.of(0), sig])],
    ['Sig twice', () => state, () => Buffer.concat([sig, sig])],
    ['Sig as hex text', () => state, () => bytes(toHex(sig))],
    ['Sig as long as the other seal', () => state, () => Buffer.concat([sig, sig, sig]).subarray(0, 243 - sealBytes)],
    ['zeros for Sig', () => state, () => new Uint8Array(sealBytes)],
    ['the orchestrator info’s signature', () => state, () => Buffer.from(vectors.infoSig.signature.slice(2), 'hex')],
  ];
  it.each(forgeries)('is refused: %s', async (_what, forgedState, forgedSig) => {
    expectRefusal(signer, await post(forgedState(), forgedSig()), 400, 'invalid sig');
  });

  it('is refused with another session’s seal', async () => {
    const other = expectPaid(await signer.post(await buildRequest({ state: null })));
    signer.key.reset();
    const answer = await post(state, Buffer.from(other.sealed.Sig, 'base64'));
    expectRefusal(signer, answer, 400, 'invalid sig');
  });

  it('is refused when another key sealed it', async () => {
    const foreign = await seal(state, `0x${'11'.repeat(32)}`);
    expectRefusal(signer, await post(state, foreign), 400, 'invalid sig');
  });

  // prettier-ignore
  const elsewhere: readonly [where: string, changes: Changes, message: string][] = [
    ['with another orchestrator', { info: { address: Buffer.alloc(20, 0x22) } }, 'orchestratorAddress mismatch'],
    ['with no orchestrator’s address', { info: { address: Buffer.of() } }, 'orchestratorAddress mismatch'],
    ['with another type', { body: { type: 'live' } }, 'job type mismatch'],
    ['without a type', { body: { type: '', inPixels: 1 } }, 'job type mismatch'],
    ['with another app', { body: { app: 'other' } }, 'app mismatch'],
    ['with another recipient', { ticketParams: { recipient: Buffer.alloc(20, 0x33) } }, 'ticket recipient mismatch'],
    ['with no recipient', { ticketParams: { recipient: Buffer.of() } }, 'ticket recipient mismatch'],
    ['without a manifest id', { body: { ManifestID: '' } }, 'missing manifestID'],
  ];
  it.each(elsewhere)('is refused %s', async (_where, change, message) => {
    expectRefusal(signer, await post(state, sig, change), 400, message);
  });

  it('is refused by a signer with another key', async () => {
    const other = await startTestSigner({ privateKey: `0x${'11'.repeat(32)}` });
    other.now = usualNow;
    try {
      const body = { state: { State: state, Sig: sig } };
      const answer = await other.post(await buildRequest({ state: null, body }));
      expectRefusal(other, answer, 400, 'invalid sig');
    } finally {
      await other.close();
    }
  });
});

describe('the key’s own signature over a state', () => {
  let signer: TestSigner;
  let state: Uint8Array;
  let sig: Uint8Array;
  beforeAll(async () => {
    signer = await startTestSigner();
    signer.now = usualNow;
    state = bytes(toJson(usualState));
    sig = await seal(state, vectors.key.privateKey);
  });
  beforeEach(() => signer.key.reset());
  afterAll(() => signer.close());

  it('seals it as it was given', async () => {
    expectPaid(await signer.post(await buildRequest({ stateBytes: state })));
  });

  const r = () => bytesToUint(sig.subarray(0, 32));
  const s = () => bytesToUint(sig.subarray(32, 64));
  const v = () => sig[64] ?? 0;
  const signature = (rValue: bigint, sValue: bigint, vValue: number) =>
    Buffer.concat([uintToBytes32(rValue), uintToBytes32(sValue), Buffer.of(vValue)]);
  // prettier-ignore
  const forgeries: readonly [what: string, sig: () => Uint8Array][] = [
    ['v 0 or 1', () => signature(r(), s(), v() - 27)],
    ['v of the other parity', () => signature(r(), s(), 55 - v())],
    ['v 29 or 30', () => signature(r(), s(), v() + 2)],
    ['v 37 or 38', () => signature(r(), s(), v() + 10)],
    ['a high s', () => signature(r(), curveOrder - s(), 55 - v())],
    ['a high s and the same v', () => signature(r(), curveOrder - s(), v())],
    ['r of zero', () => signature(0n, s(), v())],
    ['s of zero', () => signature(r(), 0n, v())],
    ['r of n', () => signature(curveOrder, s(), v())],
    ['r of 2^256 - 1', () => signature(2n ** 256n - 1n, s(), v())],
    ['r and s exchanged', () => signature(s(), r(), v())],
  ];
  it.each(forgeries)('is refused with %s', async (_what, forged) => {
    const body = { state: { State: state, Sig: forged() } };
    const answer = await signer.post(await buildRequest({ state: null, body }));
    expectRefusal(signer, answer, 400, 'invalid sig');
  });

  const usual = toJson(usualState);
  const withMember = (members: Members) => toJson({ ...usualState, ...members });
  // prettier-ignore
  const malformed: readonly [what: string, json: string][] = [
    ['nothing', ''],
    ['null', 'null'],
    ['no JSON', 'state'],
    ['a string', '"state"'],
    ['an array', `[${usual}]`],
    ['a number', '5'],
    ['JSON that is cut', usual.slice(0, -1)],
    ['JSON and a brace', `${usual}}`],
    ['JSON and a byte', `${usual}\u0000`],
    ['JSON twice', `${usual}${usual}`],
    ['a balance that is a number', withMember({ Balance: 5 })],
    ['a time that is none', withMember({ LastUpdate: 'yesterday' })],
    ['a time that is a number', withMember({ LastUpdate: 0 })],
    ['an address that is short', withMember({ OrchestratorAddress: '0x9965' })],
    ['an address without 0x', withMember({ OrchestratorAddress: '9965507d1a55bcc2695c58ba16fb37d819b0a4dc' })],
    ['an empty address', withMember({ OrchestratorAddress: '' })],
    ['a nonce over uint32', withMember({ SenderNonce: 4_294_967_296 })],
    ['a negative nonce', withMember({ SenderNonce: -1 })],
    ['a nonce as text', withMember({ SenderNonce: '1' })],
    ['a sequence number over uint64', withMember({ SequenceNumber: 2n ** 64n })],
    ['a price over int64', withMember({ InitialPricePerUnit: 2n ** 63n })],
    ['a price with a fraction', usual.replace('"InitialPricePerUnit":1200', '"InitialPricePerUnit":1200.0')],
    ['an expiry as text', withMember({ AuthExpiry: '0' })],
    ['a type that is a number', withMember({ Type: 1 })],
  ];
  it.each(malformed)('is refused when our own key sealed %s', async (_what, json) => {
    const answer = await signer.post(await buildRequest({ stateBytes: bytes(json) }));
    expectRefusal(signer, answer, 400, 'invalid state');
  });

  // prettier-ignore
  const readable: readonly [what: string, json: string][] = [
    ['unknown members', withMember({ Future: { a: [1] } })],
    ['keys in capitals', usual.replace(/"(\w+)":/g, (_, key: string) => `"${key.toUpperCase()}":`)],
    ['white space around it', ` ${usual}\n`],
    ['an unreadable balance, which counts as none', withMember({ Balance: 'much' })],
    ['no balance', withMember({ Balance: '' })],
    ['a time with an offset', withMember({ LastUpdate: '2026-04-07T22:00:00+02:00' })],
    ['a sequence number above 2^53', withMember({ SequenceNumber: 9_007_199_254_740_993n })],
  ];
  it.each(readable)('is taken when our own key sealed %s', async (_what, json) => {
    const { ticketCount, state: next } = expectPaid(
      await signer.post(await buildRequest({ stateBytes: bytes(json) })),
    );
    expect(ticketCount).toBe(2);
    expect(next['StateID']).toBe(usualState['StateID']);
    if (json.includes('9007199254740993')) expect(next['SequenceNumber']).toBe('9007199254740994');
  });

  describe('and go-livepeer', () => {
    const continued = vectors.endToEnd.cases.filter(
      ({ requestBody, status }) => requestBody.includes('"state":{"State":"') && status === 200,
    );
    it.each(continued)('is taken from it: $name', async ({ now, requestBody }) => {
      const previous = signer.now;
      signer.now = nanoseconds(now);
      const { state: given } = JSON.parse(requestBody) as { state: { State: string } };
      const before = JSON.parse(Buffer.from(given.State, 'base64').toString()) as Record<
        string,
        unknown
      >;
      const answer = await signer.post(requestBody);
      signer.now = previous;
      const { state: after } = expectPaid(answer);
      expect(after['StateID']).toBe(before['StateID']);
      expect(after['SequenceNumber']).toBe(String(Number(before['SequenceNumber']) + 1));
    });

    it.each(['extended', 'upstream'])('verifies by its rules with %s fields', async (fields) => {
      const session = { seal: 'key', fields };
      const sealing = await startTestSigner({ settings: { session } });
      sealing.now = usualNow;
      let paid: Paid;
      try {
        paid = expectPaid(await sealing.post(await buildRequest()));
      } finally {
        await sealing.close();
      }
      const sealed = Buffer.from(paid.sealed.Sig, 'base64');
      const recovered = await recoverMessageAddress({
        message: { raw: toHex(Buffer.from(paid.sealed.State, 'base64')) },
        signature: toHex(sealed) satisfies Hex,
      });
      expect(recovered.toLowerCase()).toBe(vectors.key.address.toLowerCase());
      expect(sealed).toHaveLength(65);
      expect([27, 28]).toContain(sealed[64]);
      expect(bytesToUint(sealed.subarray(32, 64)) <= curveOrder / 2n).toBe(true);
      const ours = Object.keys(paid.state).slice(13);
      expect(ours).toEqual(
        fields === 'extended'
          ? ['Recipient', 'StartedAt', 'SpentEV', 'ManifestIDHash', 'SegCredsSig']
          : [],
      );
      expect(Object.keys(paid.state).slice(0, 13)).toEqual(Object.keys(usualState));
    });
  });
});
