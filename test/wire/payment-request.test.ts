import { describe, expect, it } from 'vitest';
import { RequestError } from '../../src/errors.ts';
import { decodePaymentRequest } from '../../src/wire/payment-request.ts';

const decode = (json: string) => decodePaymentRequest(new TextEncoder().encode(json));

const empty = {
  state: undefined,
  orchestrator: new Uint8Array(),
  manifestId: '',
  app: '',
  inPixels: 0n,
  type: '',
  maxPrice: undefined,
  capabilities: new Uint8Array(),
  usageLabels: {},
};

describe('a payment request', () => {
  it('without members, or with null for each, has Go’s zero values', () => {
    const names = ['state', 'orchestrator', 'ManifestID', 'app', 'inPixels', 'type', 'maxPrice'];
    const more = [
      'capabilities',
      'gatewayRequestId',
      'attributionSource',
      'capability',
      'model_id',
    ];
    const nulls = Object.fromEntries([...names, ...more].map((name) => [name, null]));
    for (const json of ['{}', 'null', JSON.stringify(nulls)]) expect(decode(json)).toEqual(empty);
  });

  it('has each member in its place', () => {
    const request = decode(`{
      "state": {"State": "AQ==", "Sig": "Ag=="},
      "orchestrator": "Aw==",
      "ManifestID": "a manifest",
      "app": "an app",
      "inPixels": 9007199254740993,
      "type": "live",
      "maxPrice": {"price": 1.50, "currency": "wei", "unit": "seconds"},
      "capabilities": "BA==",
      "gatewayRequestId": "a", "attributionSource": "b", "capability": "c", "model_id": "d"
    }`);
    expect(request).toEqual({
      state: { state: Uint8Array.of(1), sig: Uint8Array.of(2) },
      orchestrator: Uint8Array.of(3),
      manifestId: 'a manifest',
      app: 'an app',
      inPixels: 9_007_199_254_740_993n,
      type: 'live',
      maxPrice: { price: '1.50', currency: 'wei', unit: 'seconds' },
      capabilities: Uint8Array.of(4),
      usageLabels: {
        gatewayRequestId: 'a',
        attributionSource: 'b',
        capability: 'c',
        model_id: 'd',
      },
    });
  });

  it('begins a session where both parts of the state are empty, and no other', () => {
    for (const state of ['{}', '{"State":"","Sig":""}', '{"State":null,"Sig":[]}']) {
      expect(decode(`{"state":${state}}`)).toEqual(empty);
    }
    const none = new Uint8Array();
    expect(decode('{"state":{"State":"AQ=="}}').state).toEqual({
      state: Uint8Array.of(1),
      sig: none,
    });
    expect(decode('{"state":{"Sig":[2]}}').state).toEqual({ state: none, sig: Uint8Array.of(2) });
  });

  it('has a ceiling of which parts add up, and which null takes away', () => {
    const parts = '"maxPrice":{"price":"1","unit":"fixed"},"MaxPrice":{"currency":"wei"}';
    expect(decode(`{${parts}}`).maxPrice).toEqual({ price: '1', currency: 'wei', unit: 'fixed' });
    expect(decode(`{${parts},"maxPrice":null}`).maxPrice).toBeUndefined();
    expect(decode('{"maxPrice":{}}').maxPrice).toEqual({ price: '', currency: '', unit: '' });
  });

  it('has labels of 256 characters at most, and none of what is no text or empty', () => {
    const labels = (members: object) => decode(JSON.stringify(members)).usageLabels;
    const just = 'x'.repeat(256);
    expect(labels({ model_id: `${just}y`, capability: just })).toEqual({
      model_id: just,
      capability: just,
    });
    expect(labels({ model_id: '', capability: 7, gatewayRequestId: ['a'] })).toEqual({});
    expect(labels({ attributionSource: true })).toEqual({});
  });

  it.each([
    ['{"app":1}', 'field app: expected a string'],
    ['{"state":{"State":1}}', 'field state.State: expected standard padded base64'],
    ['{"state":{"Sig":"!"}}', 'field state.Sig: expected standard padded base64'],
    ['{"maxPrice":{"price":{}}}', 'field maxPrice.price: expected a number'],
    ['{"maxPrice":{"currency":1}}', 'field maxPrice.currency: expected a string'],
    ['{"maxPrice":{"unit":1}}', 'field maxPrice.unit: expected a string'],
    ['[]', 'field request: expected an object'],
    ['{', 'unexpected end of JSON input'],
  ])('%s is refused by name, with the cause', (json, message) => {
    let thrown: unknown;
    try {
      decode(json);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RequestError);
    expect(thrown).toMatchObject({ code: 'BODY_MALFORMED', message, cause: { message } });
  });
});
