import { create, toBinary } from '@bufbuild/protobuf';
import { afterEach, describe, expect, it } from 'vitest';
import { CapabilitiesSchema } from '../../src/wire/net_pb.ts';
import { type AuthWebhook, startAuthWebhook } from '../payments/auth-webhook.ts';
import { expectPaid, expectRefusal } from '../payments/expectations.ts';
import { type Changes, buildRequest, mergeChanges } from '../payments/request-builder.ts';
import { soon } from '../support/soon.ts';
import { type GuardedOptions, type GuardedSigner, startGuardedSigner } from './guarded-signer.ts';

/** The orchestrator asks for so much a second, far below every ceiling. */
const cheap: Changes = { priceInfo: { pricePerUnit: 1n, pixelsPerUnit: 1n } };

/** A session of go-livepeer's, whose first price was this high and had no type. */
const dearState = (price: bigint): Changes => ({
  ...cheap,
  body: { type: 'live' },
  state: { Type: '', InitialPricePerUnit: price, Balance: `${-(10n ** 13n)}` },
});

const capabilities = (model: string): Uint8Array =>
  toBinary(
    CapabilitiesSchema,
    create(CapabilitiesSchema, {
      constraints: { perCapability: { 35: { models: { [model]: {} } } } },
    }),
  );

describe('a ceiling holds for what is billed, not for what is asked now', () => {
  let signer: GuardedSigner;
  let webhook: AuthWebhook | undefined;

  async function start(options: GuardedOptions): Promise<GuardedSigner> {
    signer = await startGuardedSigner(options);
    return signer;
  }
  afterEach(async () => {
    await signer.close();
    await webhook?.close();
    webhook = undefined;
  });

  const refuses = async (
    changes: Changes,
    source: string,
    price = '1000000000000.000',
    ceiling = '1200.000',
  ) => {
    signer.key.reset();
    const answer = await signer.post(await buildRequest(changes));
    const message = `orchestrator price ${price} exceeds ${source} ceiling ${ceiling}`;
    expectRefusal(signer, answer, 481, message);
  };
  const pays = async (changes: Changes) =>
    expectPaid(await signer.post(await buildRequest(changes)));

  const live = { maxPrice: { live: '1200 wei' } };

  it('refuses an untyped first payment above the only ceiling, and a dear state that becomes live', async () => {
    await start({ settings: { prices: live } });
    const dear = { priceInfo: { pricePerUnit: 10n ** 12n, pixelsPerUnit: 1n } };
    const body = { type: '', inPixels: 10 };
    await refuses({ ...dear, body, state: null }, 'configured maximum price');
    await refuses(dearState(10n ** 12n), 'configured maximum price');
    const edge = await pays(dearState(1200n));
    expect(edge.state).toMatchObject({ Type: 'live', InitialPricePerUnit: '1200' });
  });

  it('refuses a later payment without a type, whose first price is above the lowest ceiling', async () => {
    await start({ settings: { prices: { maxPrice: { live: '5000 wei', fixed: '1200 wei' } } } });
    const untyped = { body: { type: '', inPixels: 10 } };
    const state = { Type: '', InitialPricePerUnit: 1201n };
    await refuses({ ...cheap, ...untyped, state }, 'configured maximum price', '1201.000');
  });

  it('refuses above the ceiling of a capability', async () => {
    const entry = { pipeline: 'live-video-to-video', model: 'noop', maxPrice: '1200 wei' };
    await start({ settings: { prices: { maxPrice: {}, capabilities: [entry] } } });
    const named = { body: { capabilities: capabilities('noop') } };
    await refuses(mergeChanges(named, dearState(10n ** 12n)), 'configured maximum price');
    const other = { body: { capabilities: capabilities('other') } };
    await pays(mergeChanges(other, dearState(10n ** 6n)));
  });

  it('refuses above the request’s own maxPrice', async () => {
    await start({});
    const maxPrice = { price: '1200', currency: 'wei', unit: 'seconds' };
    await refuses(mergeChanges({ body: { maxPrice } }, dearState(10n ** 12n)), 'request maxPrice');
    await pays(mergeChanges({ body: { maxPrice } }, dearState(1200n)));
  });

  const rule = (price: number) =>
    `{default: allow, rules: [{id: live-price, when: {type: [live]}, limit: {price: ${price} wei}}]}`;

  it('refuses above a rule’s limit, also one that came into force after the session began', async () => {
    await start({ policy: rule(5000) });
    await refuses(dearState(10n ** 12n), 'rule live-price', undefined, '5000.000');
    await pays(dearState(5000n));
    signer.writePolicy(rule(1200));
    process.emit('SIGHUP');
    await soon(() => expect(signer.logLines.at(-1)).toMatchObject({ msg: 'file reloaded' }));
    const priceInfo = { pricePerUnit: 2n, pixelsPerUnit: 1n };
    await refuses({ ...dearState(5000n), priceInfo }, 'rule live-price', '5000.000');
  });

  it('refuses above the auth webhook’s maxPrice', async () => {
    webhook = await startAuthWebhook();
    await start({ settings: { auth: { webhook: { url: webhook.url } } } });
    const maxPrice = { price: '1200', currency: 'wei', unit: 'seconds' };
    webhook.reply = { status: 200, maxPrice };
    await refuses(dearState(10n ** 12n), 'auth webhook maxPrice');
    await pays(dearState(1200n));
  });

  it('asks the webhook anew when a session gets a type, though its answer still holds', async () => {
    webhook = await startAuthWebhook();
    await start({ settings: { auth: { webhook: { url: webhook.url } } } });
    webhook.reply = { status: 200, maxPrice: { price: '1200', currency: 'wei', unit: 'seconds' } };
    const granted = mergeChanges({ state: { AuthExpiry: 9_999_999_999n } }, dearState(5000n));
    await refuses(granted, 'auth webhook maxPrice', '5000.000');
    expect(webhook.asked).toHaveLength(1);
  });
});
