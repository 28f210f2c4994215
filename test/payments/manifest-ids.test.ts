import { afterEach, describe, expect, it } from 'vitest';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { type Paid, expectError, expectPaid, expectRefusal } from './expectations.ts';
import {
  type Changes,
  buildRequest,
  mergeChanges,
  ticketsWorth,
  usualNow,
} from './request-builder.ts';

const sessionId = 'auth-session-7';
const opened: TestSigner[] = [];

afterEach(async () => {
  for (const signer of opened.splice(0)) await signer.close();
});

async function started(session: object = {}): Promise<TestSigner> {
  const signer = await startTestSigner({ settings: { session } });
  signer.now = usualNow;
  opened.push(signer);
  return signer;
}

/** A first payment of this type, with the challenge's session id and a price that makes a ticket due. */
const first = (type: string, changes: Changes = {}) =>
  buildRequest(
    mergeChanges(changes, {
      state: null,
      body: { type, ManifestID: '' },
      authToken: { sessionId },
      ticketParams: ticketsWorth(10n ** 12n),
      priceInfo: { pricePerUnit: 10n ** 12n },
    }),
  );

const continued = (type: string, { sealed }: Paid, changes: Changes = {}) =>
  first(type, mergeChanges({ body: { state: sealed } }, changes));

describe('the manifest id of live and fixed payments', () => {
  it.each(['live', 'fixed'])(
    'is the auth session id where %s leaves it out, in every payment',
    async (type) => {
      const signer = await started();
      const paid = expectPaid(await signer.post(await first(type)));
      expect(paid.manifestId).toBe(sessionId);
      signer.now = usualNow + 20_000_000_000n;
      const next = expectPaid(await signer.post(await continued(type, paid)));
      expect(next.manifestId).toBe(sessionId);
    },
  );

  it.each(['live', 'fixed'])(
    'is what the caller says, whatever the challenge says, for %s',
    async (type) => {
      const signer = await started();
      const request = await first(type, { body: { ManifestID: 'mine' } });
      expect(expectPaid(await signer.post(request)).manifestId).toBe('mine');
    },
  );

  it.each(['live', 'fixed'])(
    'is refused where the challenge has no session id and %s names none',
    async (type) => {
      const signer = await started();
      const request = await first(type, { authToken: { sessionId: '' } });
      expectRefusal(signer, await signer.post(request), 400, 'missing manifestID');
    },
  );

  it.each(['live', 'fixed'])(
    'must match the challenge for %s, where that is asked for',
    async (type) => {
      const signer = await started({ manifestId: 'match' });
      const refused = await signer.post(await first(type, { body: { ManifestID: 'mine' } }));
      expectRefusal(signer, refused, 400, "manifestID must be the auth token's session id");
      expect(signer.logLines.at(-1)).toMatchObject({
        code: 'MANIFEST_ID_MISMATCH',
        data: { actual: 'mine', expected: sessionId },
      });
      const paid = expectPaid(
        await signer.post(await first(type, { body: { ManifestID: sessionId } })),
      );
      const left = await signer.post(await continued(type, paid, { body: { ManifestID: 'mine' } }));
      expectError(left, 400, "manifestID must be the auth token's session id");
    },
  );

  it.each([104, 168])(
    'of %s bytes, with which credentials are as long as a ticket, is refused in every payment',
    async (length) => {
      const signer = await started();
      // in characters it is shorter
      const ManifestID = 'é'.repeat(length / 2);
      const paid = expectPaid(await signer.post(await first('fixed')));
      signer.key.reset();
      const later = await signer.post(await continued('fixed', paid, { body: { ManifestID } }));
      expectRefusal(signer, later, 400, `manifestID must not have ${length} bytes`);
      const challenge = { authToken: { sessionId: ManifestID } };
      const chosen = await signer.post(await first('live', challenge));
      expectRefusal(signer, chosen, 400, `manifestID must not have ${length} bytes`);
      const running = await signer.post(await continued('fixed', paid, challenge));
      expectRefusal(signer, running, 400, `manifestID must not have ${length} bytes`);
    },
  );

  it('is refused without an auth token for want of that token', async () => {
    const signer = await started();
    const request = await first('live', { authToken: null });
    expectRefusal(signer, await signer.post(request), 400, /missing auth token$/);
  });

  it('is made up for lv2v, and must be named later on, whatever the rule', async () => {
    const signer = await started({ manifestId: 'match' });
    const priceInfo = { pricePerUnit: 1200n };
    const paid = expectPaid(await signer.post(await first('lv2v', { priceInfo })));
    expect(paid.manifestId).toMatch(/^[0-9a-f]{32}$/);
    const unnamed = await signer.post(await continued('lv2v', paid, { priceInfo }));
    expectError(unnamed, 400, 'missing manifestID');
  });
});

describe('usage labels', () => {
  const labels = {
    gatewayRequestId: 'job-1',
    attributionSource: 'studio',
    capability: 'text-to-image',
    model_id: 'm/1',
  };

  it('are in the line of the payment, under the names that the client gave them', async () => {
    const signer = await started();
    expectPaid(await signer.post(await first('live', { body: labels })));
    expect(signer.logLines.at(-1)).toMatchObject({ msg: 'payment signed', usage: labels });
  });

  it('are cut at 256 characters, and left out where they are no text', async () => {
    const signer = await started();
    const body = { gatewayRequestId: 'x'.repeat(300), attributionSource: 7, capability: '' };
    expectPaid(await signer.post(await first('live', { body })));
    expect(signer.logLines.at(-1)?.['usage']).toEqual({ gatewayRequestId: 'x'.repeat(256) });
    // never in the middle of a character, which some readers of JSON refuse
    const gatewayRequestId = `${'x'.repeat(255)}\u{1f600}`;
    expectPaid(await signer.post(await first('live', { body: { gatewayRequestId } })));
    expect(signer.logLines.at(-1)?.['usage']).toEqual({
      gatewayRequestId: `${'x'.repeat(255)}\ufffd`,
    });
  });
});
