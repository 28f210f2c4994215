import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createStructReader, readString } from '../../src/wire/go-struct.ts';
import { CapabilitiesSchema, SegDataSchema } from '../../src/wire/net_pb.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { expectError, expectPaid, expectRefusal } from './expectations.ts';
import { buildOrchestrator, ticketsWorth, usualNow } from './request-builder.ts';

/** One ticket of 10^12 wei, at 1 wei for 1,000 units. */
const orchestrator = buildOrchestrator({
  priceInfo: { pricePerUnit: 1n, pixelsPerUnit: 1000n },
  ticketParams: ticketsWorth(10n ** 12n),
});
const O = `"orchestrator":"${Buffer.from(orchestrator).toString('base64')}"`;
const base64 = Buffer.from(orchestrator).toString('base64');
const pay = `${O},"type":"fixed"`;
const nested = (depth: number) => `{"x":${'['.repeat(depth)}${']'.repeat(depth)},${pay}}`;
const replaced = (character: string, bytes: string) =>
  Buffer.from(
    `{${pay},"app":"${character}","ManifestID":"${character}"}`.replaceAll(character, bytes),
    'latin1',
  );

const malformed = /^(?:unexpected end of|invalid character|invalid string|JSON is nested)/;
const wrongType = (field: string) => new RegExp(`^field ${field}: expected `);

describe('the request’s JSON', () => {
  let signer: TestSigner;
  beforeAll(async () => {
    signer = await startTestSigner();
    signer.now = usualNow;
  });
  beforeEach(() => signer.key.reset());
  afterAll(() => signer.close());

  // prettier-ignore
  const accepted: readonly [when: string, body: string | Uint8Array, seen: { app?: string; type?: string; manifestId?: string }][] = [
    ['keys are in capitals', `{${pay.replace('orchestrator', 'ORCHESTRATOR').replace('type', 'TYPE')},"APP":"a","MANIFESTID":"m"}`, { app: 'a', manifestId: 'm' }],
    ['keys are in mixed case', `{"oRcHeStRaToR":"${base64}","tYpE":"fixed","aPp":"a","mAnIfEsTiD":"m"}`, { app: 'a', manifestId: 'm' }],
    ['a key is escaped', String.raw`{${pay},"\u0061p\u0070":"a"}`, { app: 'a' }],
    ['the exact spelling comes before another', `{${pay},"app":"a","App":"b","APP":"c"}`, { app: 'c' }],
    ['the exact spelling comes after another', `{${pay},"APP":"a","App":"b","app":"c"}`, { app: 'c' }],
    ['ManifestID is spelled three ways', `{${pay},"manifestid":"a","ManifestID":"b","manifestID":"c"}`, { manifestId: 'c' }],
    ['null comes after a string', `{${pay},"app":"a","app":null,"type":null,"ManifestID":"m","manifestID":null}`, { app: 'a', type: 'fixed', manifestId: 'm' }],
    ['null comes after a byte string', `{${pay},"capabilities":"/w==","capabilities":null}`, {}],
    ['null comes after both parts of the state', `{${pay},"state":{"State":"AA==","Sig":"AQ==","State":null,"sig":null}}`, {}],
    ['null comes after a price', `{${pay},"maxPrice":{"price":1},"MAXPRICE":null}`, {}],
    ['inPixels is null', `{${pay},"inPixels":null}`, {}],
    ['the price ceiling comes in two spellings', `{${pay},"maxPrice":{"price":5},"maxprice":{"currency":"wei","UNIT":"fixed"}}`, {}],
    ['the price ceiling is null within', `{${pay},"maxPrice":{"price":"5","price":null,"currency":"wei","unit":"fixed"}}`, {}],
    ['the price ceiling has spaces and capitals', `{${pay},"maxPrice":{"price":5,"currency":" WEI\\t","unit":"\\nFixed "}}`, {}],
    ['the price ceiling is an exponent', `{${pay},"maxPrice":{"price":1e-3,"currency":"wei","unit":"fixed"}}`, {}],
    ['bytes are an array', `{"orchestrator":[${Array.from(orchestrator).join(',')}],"type":"fixed"}`, {}],
    ['bytes are an empty array', `{${pay},"capabilities":[]}`, {}],
    ['base64 holds CR and LF', `{"orchestrator":"${base64.replace(/.{10}/g, String.raw`$&\r\n`)}\\n","type":"fixed"}`, {}],
    ['base64 holds unused bits', `{${pay},"state":{"State":""},"capabilities":""}`, {}],
    ['another value follows', `{${pay},"app":"a"}{"app":"b"}`, { app: 'a' }],
    ['anything follows', `{${pay},"app":"a"}]]]\u0000`, { app: 'a' }],
    ['white space surrounds it', ` \t\r\n{ ${pay} , "app" : "a" }\n`, { app: 'a' }],
    ['unknown keys hold anything', `{"x":[{"app":"b"},[],{},-1.5e+300,true,false,null,"\\ud83d\\ude00"],${pay},"app":"a"}`, { app: 'a' }],
    ['unknown keys hold huge numbers', `{"x":[1e999999999,-1e-999999999,${'9'.repeat(10_000)}],${pay}}`, {}],
    ['an unknown key nests 200 deep', nested(200), {}],
    ['a key is __proto__', `{"__proto__":{"app":"b"},"constructor":{"prototype":{"app":"c"}},${pay},"app":"a"}`, { app: 'a' }],
    ['__proto__ is all there is of the app', `{"__proto__":{"app":"b"},${pay}}`, { app: '' }],
    ['keys are those of objects', `{"toString":1,"hasOwnProperty":2,"valueOf":3,${pay}}`, {}],
    ['a byte is no UTF-8', replaced('#', 'a\xffb'), { app: 'a\ufffdb', manifestId: 'a\ufffdb' }],
    ['each byte of a cut character is no UTF-8', replaced('#', 'a\xe2\x82b'), { app: 'a\ufffd\ufffdb', manifestId: 'a\ufffd\ufffdb' }],
    ['each byte of a surrogate is no UTF-8', replaced('#', '\xed\xa0\x80'), { app: '\ufffd\ufffd\ufffd', manifestId: '\ufffd\ufffd\ufffd' }],
    ['half a surrogate pair is escaped', String.raw`{${pay},"app":"\ud800x","ManifestID":"\udc00"}`, { app: '\ufffdx', manifestId: '\ufffd' }],
    ['strings hold escapes', String.raw`{${pay},"app":"\"\\\/\b\f\n\r\t<>&\u2028","ManifestID":"\u00e9é"}`, { app: '"\\/\b\f\n\r\t<>&\u2028', manifestId: 'éé' }],
  ];
  it.each(accepted)('is read when %s', async (_when, body, seen) => {
    const paid = expectPaid(await signer.post(body));
    expect(paid.ticketCount).toBe(1);
    const { manifestId = paid.manifestId, ...members } = seen;
    expect(paid.manifestId).toBe(manifestId);
    expect(paid.state).toMatchObject({ App: members.app ?? '', Type: members.type ?? 'fixed' });
  });

  // prettier-ignore
  const refused: readonly [when: string, body: string | Uint8Array, message: string | RegExp][] = [
    ['it is empty', '', malformed],
    ['it is white space', ' \n', malformed],
    ['it is cut', `{${pay}`, malformed],
    ['it is cut within a string', `{${O},"type":"fix`, malformed],
    ['it is cut after an escape', `{${O},"type":"fix\\`, malformed],
    ['it is an array', `[{${pay}}]`, /^field request: expected an object/],
    ['it is a string', '"x"', /^field request: expected an object/],
    ['it is a number', '5', /^field request: expected an object/],
    ['it is true', 'true', /^field request: expected an object/],
    ['it is null', 'null', 'missing orchestrator'],
    ['it is null and more', 'null{}', 'missing orchestrator'],
    ['it is {}', '{}', 'missing orchestrator'],
    ['it starts with a byte order mark', `\ufeff{${pay}}`, malformed],
    ['a byte between values is no UTF-8', Buffer.from(`{${pay},\xff"app":"a"}`, 'latin1'), malformed],
    ['a comma is left over', `{${pay},}`, malformed],
    ['a key is bare', `{${pay},app:"a"}`, malformed],
    ['a string is in single quotes', `{${pay},'app':'a'}`, malformed],
    ['a comment is in it', `{${pay}/**/}`, malformed],
    ['a string holds a line break', `{${pay},"app":"a\nb"}`, malformed],
    ['a string holds a control character', `{${pay},"app":"a\u0001b"}`, malformed],
    ['an escape is unknown', String.raw`{${pay},"app":"\x41"}`, malformed],
    ['a literal is unknown', `{${pay},"x":NaN}`, malformed],
    ['a literal goes on', `{${pay},"x":nullx}`, malformed],
    ['a number starts with 0', `{${pay},"inPixels":01}`, malformed],
    ['a number ends with a point', `{${pay},"inPixels":1.}`, malformed],
    ['a number starts with +', `{${pay},"inPixels":+1}`, malformed],
    ['it nests 20,000 deep', nested(20_000), malformed],
    ['orchestrator is null', '{"orchestrator":null}', 'missing orchestrator'],
    ['orchestrator is null at last', `{${pay},"Orchestrator":null}`, 'missing orchestrator'],
    ['orchestrator is an empty string', '{"orchestrator":""}', 'missing orchestrator'],
    ['orchestrator is an empty array', '{"orchestrator":[]}', 'missing orchestrator'],
    ['orchestrator is within __proto__', `{"__proto__":{${pay}}}`, 'missing orchestrator'],
    ['orchestrator is an object', '{"orchestrator":{}}', wrongType('orchestrator')],
    ['orchestrator is a number', '{"orchestrator":1}', wrongType('orchestrator')],
    ['base64 is unpadded', `{"orchestrator":"${base64.replace(/=*$/, '')}A"}`, wrongType('orchestrator')],
    ['base64 has too much padding', '{"orchestrator":"AAE=="}', wrongType('orchestrator')],
    ['base64 is URL-safe', '{"orchestrator":"-_8="}', wrongType('orchestrator')],
    ['base64 holds a tab', String.raw`{"orchestrator":"AA\tE="}`, wrongType('orchestrator')],
    ['base64 goes on after its end', '{"orchestrator":"AAE=AAE="}', wrongType('orchestrator')],
    ['bytes hold 256', '{"orchestrator":[256]}', wrongType('orchestrator')],
    ['bytes hold -1', '{"orchestrator":[-1]}', wrongType('orchestrator')],
    ['bytes hold -0', '{"orchestrator":[-0]}', wrongType('orchestrator')],
    ['bytes hold 1.0', '{"orchestrator":[1.0]}', wrongType('orchestrator')],
    ['bytes hold text', '{"orchestrator":["1"]}', wrongType('orchestrator')],
    ['a byte array is no protobuf', '{"orchestrator":[255,null]}', /^proto:/],
    ['ſ stands for s in capabilities', `{${pay},"capabilitieſ":"!"}`, wrongType('capabilities')],
    ['ſ stands for s in the state', `{${pay},"ſtate":{"ſig":"AQ=="}}`, 'invalid sig'],
    ['null follows the state', `{${pay},"state":{"Sig":"AQ=="},"state":null}`, 'invalid sig'],
    ['the state’s parts come in two spellings', `{${pay},"state":{"State":"e30="},"STATE":{"sig":"AQ=="}}`, 'invalid sig'],
    ['only State is given', `{${pay},"state":{"State":"e30="}}`, 'invalid sig'],
    ['only Sig is given', `{${pay},"state":{"Sig":"AQ=="}}`, 'invalid sig'],
    ['state is a string', `{${pay},"state":"AQ=="}`, wrongType('state')],
    ['state is an array', `{${pay},"state":[]}`, wrongType('state')],
    ['state.State is a number', `{${pay},"state":{"State":1}}`, wrongType('state.State')],
    ['state.Sig is no base64', `{${pay},"state":{"Sig":"!"}}`, wrongType('state.Sig')],
    ['a string is a number', `{${pay},"ManifestID":5}`, wrongType('ManifestID')],
    ['a string is true', `{${pay},"app":true}`, wrongType('app')],
    ['a string is an array', `{${pay},"type":["fixed"]}`, wrongType('type')],
    ['a string is of another type before it is right', `{"type":5,${pay}}`, wrongType('type')],
    ['inPixels is text', `{${pay},"inPixels":"5"}`, wrongType('inPixels')],
    ['inPixels has a fraction', `{${pay},"inPixels":1.0}`, wrongType('inPixels')],
    ['inPixels has an exponent', `{${pay},"inPixels":1E0}`, wrongType('inPixels')],
    ['inPixels is over int64', `{${pay},"inPixels":9223372036854775808}`, wrongType('inPixels')],
    ['inPixels is under int64', `{${pay},"inPixels":-9223372036854775809}`, wrongType('inPixels')],
    ['inPixels is huge', `{${pay},"inPixels":${'9'.repeat(10_000)}}`, wrongType('inPixels')],
    ['inPixels is the lowest int64', `{${O},"inPixels":-9223372036854775808}`, 'missing billable unit or job type'],
    ['inPixels is -0', `{${O},"inPixels":-0}`, 'missing billable unit or job type'],
    ['inPixels is the highest int64', `{${O},"inPixels":9223372036854775807}`, 'numTickets 9224 exceeds maximum of 100'],
    ['maxPrice is a string', `{${pay},"maxPrice":"1"}`, wrongType('maxPrice')],
    ['maxPrice.price is true', `{${pay},"maxPrice":{"price":true}}`, wrongType('maxPrice.price')],
    ['maxPrice.price is a quoted word', `{${pay},"maxPrice":{"price":"1 wei"}}`, wrongType('maxPrice.price')],
    ['maxPrice.price is quoted with a plus', `{${pay},"maxPrice":{"price":"+1"}}`, wrongType('maxPrice.price')],
    ['maxPrice.price is a fraction', `{${pay},"maxPrice":{"price":"1/2"}}`, wrongType('maxPrice.price')],
    ['maxPrice.currency is a number', `{${pay},"maxPrice":{"currency":1}}`, wrongType('maxPrice.currency')],
    ['maxPrice is empty', `{${pay},"maxPrice":{}}`, 'maxPrice.price must be a positive decimal'],
    ['maxPrice.price is negative', `{${pay},"maxPrice":{"price":-1,"currency":"wei","unit":"fixed"}}`, 'maxPrice.price must be a positive decimal'],
    ['maxPrice.price is zero', `{${pay},"maxPrice":{"price":0.000e9,"currency":"wei","unit":"fixed"}}`, 'maxPrice.price must be a positive decimal'],
    ['maxPrice is within __proto__', `{${pay},"maxPrice":{"__proto__":{"price":1,"currency":"wei","unit":"fixed"}}}`, 'maxPrice.price must be a positive decimal'],
  ];
  it.each(refused)('is refused when %s', async (_when, body, message) => {
    expectRefusal(signer, await signer.post(body), 400, message);
  });

  it('loses no digit of inPixels above 2^53', async () => {
    const paid = expectPaid(await signer.post(`{${O},"inPixels":9007199254740993}`));
    expect(paid.ticketCount).toBe(10);
    // 10 tickets of 10^12 wei, less 9007199254740993 / 1000
    expect(paid.state['Balance']).toBe('992800745259007/1000');
  });

  it('loses no digit of the price above 2^53', async () => {
    const priceInfo = { pricePerUnit: 9007199254740993n, pixelsPerUnit: 9223372036854775807n };
    const info = Buffer.from(buildOrchestrator({ priceInfo })).toString('base64');
    const { state } = expectPaid(await signer.post(`{"orchestrator":"${info}","type":"fixed"}`));
    expect(state['InitialPricePerUnit']).toBe('9007199254740993');
    expect(state['InitialPixelsPerUnit']).toBe('9223372036854775807');
  });

  it('holds nobody up over a price of 60,000 digits', async () => {
    const noise = createHash('shake256', { outputLength: 26_000 }).digest('hex');
    const digits = BigInt(`0x${noise}`).toString().slice(0, 60_000);
    const answer = await signer.post(
      `{${pay},"maxPrice":{"price":0.${digits},"currency":"wei","unit":"fixed"}}`,
    );
    // refused for its length, before anything is computed from it
    expectError(answer, 400, 'maxPrice.price must be a positive decimal');
  });

  it.each([
    ['bits alone', { bitstring: [5n] }],
    ['a version alone', { version: '0.8' }],
    ['constraints that name no model', { bitstring: [5n], constraints: {} }],
    [
      'a capability without models',
      { bitstring: [5n], constraints: { perCapability: { 27: {} } } },
    ],
  ])('pays for capabilities that hold %s', async (_what, capabilities) => {
    const bytes = toBinary(CapabilitiesSchema, create(CapabilitiesSchema, capabilities));
    const text = Buffer.from(bytes).toString('base64');
    const answer = await signer.post(`{${pay},"capabilities":"${text}"}`);
    expectPaid(answer);
    const { segCreds } = JSON.parse(answer.text) as { segCreds: string };
    const written = fromBinary(SegDataSchema, Buffer.from(segCreds, 'base64')).capabilities;
    expect(written).toMatchObject(capabilities);
    expect(written?.constraints).toBeDefined();
    expect(written?.capacities).toEqual('bitstring' in capabilities ? { 0: 1, 2: 1 } : {});
  });

  it('leaves the prototype of all objects alone', async () => {
    await signer.post(
      `{"__proto__":{"polluted":1},"maxPrice":{"__proto__":{"polluted":1}},${pay}}`,
    );
    expect('polluted' in {}).toBe(false);
  });

  it('does not look at the request’s Content-Type and Accept', async () => {
    for (const type of [
      'text/plain',
      'application/x-protobuf',
      'application/json; charset=latin1',
    ]) {
      const headers = { 'Content-Type': type, Accept: 'text/html' };
      expectPaid(await signer.post(`{${pay},"app":"é"}`, headers));
    }
  });

  it('takes K (U+212A) for k in a key, as Go folds case', () => {
    const struct = { token: '' };
    const read = createStructReader<typeof struct>({
      token: (target, value, field) => (target.token = readString(value, field)),
    });
    read(struct, [{ key: 'TO\u212aEN', value: { kind: 'string', value: 'seen' } }]);
    expect(struct.token).toBe('seen');
  });

  // prettier-ignore
  const protobuf: readonly [when: string, hex: string][] = [
    ['is cut', '0a05'],
    ['has field number 0', '0000'],
    ['has wire type 7', '0f'],
    ['ends a group that never began', '0c'],
    ['has a group that never ends', '7b'],
    ['has a price of 11 bytes', `1a0c08${'ff'.repeat(10)}01`],
    ['has a length beyond the end', '0affffffff0f'],
    ['has text that is no UTF-8', `${Buffer.from(orchestrator).toString('hex')}0a01ff`],
    ['has a session id that is no UTF-8', `${Buffer.from(orchestrator).toString('hex')}3203120180`],
    ['has a tag beyond 32 bits', `${Buffer.from(orchestrator).toString('hex')}8a808080100101`],
    ['has more than 4,096 fields', `${Buffer.from(orchestrator).toString('hex')}${'f87f01'.repeat(4_097)}`],
    ['has more than 4,096 messages in it', '1a00'.repeat(4_097)],
    ['nests groups 20,000 deep', '7b'.repeat(20_000) + '7c'.repeat(20_000)],
  ];
  it.each(protobuf)('refuses the orchestrator when the protobuf %s', async (_when, hex) => {
    const info = Buffer.from(hex, 'hex').toString('base64');
    const answer = await signer.post(`{"orchestrator":"${info}","type":"fixed"}`);
    expectRefusal(signer, answer, 400, /^proto:/);
  });

  // prettier-ignore
  const wireTypes: readonly [what: string, hex: string][] = [
    ['text as a number', '0805'],
    ['a message as a number', '1005'],
    ['a message as 64 bits', '190102030405060708'],
    ['bytes as 32 bits', '2501020304'],
    ['a message as a group', '1b08051c'],
    ['the price’s number as text', '1a050a03fffefd'],
    ['the price’s number as 64 bits', '1a09090102030405060708'],
    ['the parameters’ bytes as a number', '120408051005'],
    ['the token’s time as text', '32041a02ffff'],
    ['a list of numbers as 64 bits', '2a09090102030405060708'],
    ['a map as a number', '2a021805'],
    ['a map entry’s key as text', '2a071a050a01ff1005'],
  ];
  const priceBytes = Buffer.from('080110e807', 'hex');
  it.each(wireTypes)('takes %s for a field that nobody knows, as Go does', async (_what, hex) => {
    const { payment } = await payFor(Buffer.from(hex, 'hex'));
    expect(payment.includes(priceBytes)).toBe(true);
  });

  it('hands on what nobody knows in the price and the token, in its order', async () => {
    const strange = Buffer.from('0a03fffefdf87f01110102030405060708', 'hex');
    const { payment, credentials } = await payFor(
      Buffer.from([0x1a, strange.length]),
      strange,
      Buffer.from('32041a02ffff', 'hex'),
    );
    expect(payment.includes(Buffer.concat([priceBytes, strange]))).toBe(true);
    expect(credentials.includes(Buffer.from('1a02ffff', 'hex'))).toBe(true);
  });

  /** The bytes of the answer for the orchestrator with these bytes after it. */
  async function payFor(...after: readonly Buffer[]) {
    const info = Buffer.concat([orchestrator, ...after]).toString('base64');
    const { status, text } = await signer.post(`{"orchestrator":"${info}","type":"fixed"}`);
    expect({ status, text }).toMatchObject({ status: 200 });
    const { payment = '', segCreds = '' } = JSON.parse(text) as Record<string, string>;
    return {
      payment: Buffer.from(payment, 'base64'),
      credentials: Buffer.from(segCreds, 'base64'),
    };
  }

  it('reads fields of the protobuf that nobody knows', async () => {
    const info = Buffer.concat([orchestrator, Buffer.from('f87f01fa7f03616263', 'hex')]);
    expectPaid(await signer.post(`{"orchestrator":"${info.toString('base64')}","type":"fixed"}`));
  });
});
