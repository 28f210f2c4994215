import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import { keccak_256 } from '@noble/hashes/sha3';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeRefusal } from '../../src/policy/describe-refusal.ts';
import { verifyPersonalSignature } from '../../src/keys/signature.ts';
import { type PaymentType, billableUse, feeFor, parsePaymentType } from '../../src/pm/billing.ts';
import {
  type Address,
  type Bytes32,
  type Hex,
  fromHex,
  parseAddress,
  parseBytes32,
  toHex,
} from '../../src/pm/bytes.ts';
import { personalMessageDigest } from '../../src/pm/personal-message.ts';
import { parseMaxPrice, refusePriceAboveCeilings } from '../../src/pm/price-ceilings.ts';
import {
  type Rational,
  add,
  formatDecimal,
  formatRational,
  parseRational,
  scale,
  subtract,
} from '../../src/pm/rational.ts';
import { flattenSegmentCredentials } from '../../src/pm/segment-credentials.ts';
import {
  encodeAuxData,
  encodeTicketPreimage,
  expectedValue,
  hashTicket,
} from '../../src/pm/ticket.ts';
import { ticketsDue, ticketsToReach } from '../../src/pm/ticket-count.ts';
import { refuseTicketParams } from '../../src/pm/ticket-params-validation.ts';
import { formatGoTime, parseGoTime } from '../../src/wire/go-time.ts';
import * as net from '../../src/wire/net_pb.ts';
import { decodePaymentRequest } from '../../src/wire/payment-request.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from './vectors.ts';

function ratio(text: string): Rational {
  const value = parseRational(text);
  if (!value) throw new Error(`${text} is no rational`);
  return value;
}

function address(text: string): Address {
  const value = parseAddress(text);
  if (!value) throw new Error(`${text} is no address`);
  return value;
}

function word(text: string): Bytes32 {
  const value = parseBytes32(text);
  if (!value) throw new Error(`${text} is no 32-byte word`);
  return value;
}

/** Bit-for-bit equality with go-livepeer needs its billing rule, its seal and no additions to the state. */
const asUpstream = {
  billing: { rule: 'upstream' },
  session: { seal: 'key', fields: 'upstream' },
  auth: { trustedProxies: ['127.0.0.1'] },
};

describe('ticket vectors', () => {
  it.each(vectors.tickets)('hash, digest: $name', (vector) => {
    const ticket = {
      recipient: address(vector.recipient),
      sender: address(vector.sender),
      faceValue: BigInt(vector.faceValue),
      winProb: BigInt(vector.winProb),
      senderNonce: vector.senderNonce,
      recipientRandHash: word(vector.recipientRandHash),
      creationRound: {
        round: BigInt(vector.creationRound),
        blockHash: word(vector.creationRoundBlockHash),
      },
    };
    expect(toHex(encodeTicketPreimage(ticket))).toBe(vector.preimage);
    expect(encodeTicketPreimage(ticket)).toHaveLength(vector.preimageLength);
    expect(encodeAuxData(ticket.creationRound)).toBe(vector.auxData);
    expect(toHex(hashTicket(ticket))).toBe(vector.hash);
    expect(toHex(personalMessageDigest(hashTicket(ticket)))).toBe(vector.eip191Digest);
    if (vector.signature) {
      expect(
        verifyPersonalSignature(
          address(vectors.key.address),
          hashTicket(ticket),
          fromHex(vector.signature),
        ),
      ).toBe(true);
    }
  });

  it.each(vectors.auxData)('auxiliary data of round $creationRound', (vector) => {
    expect(
      encodeAuxData({
        round: BigInt(vector.creationRound),
        blockHash: word(vector.creationRoundBlockHash),
      }),
    ).toBe(vector.auxData);
  });

  it('draws over signature and recipientRand', () => {
    const { signature, recipientRand, recipientRandHash, draw, winProb, wins } =
      vectors.winningDraw;
    const drawn = keccak_256(Buffer.concat([fromHex(signature), fromHex(recipientRand)]));
    expect(toHex(drawn)).toBe(draw);
    expect(toHex(keccak_256(fromHex(recipientRand)))).toBe(recipientRandHash);
    expect(BigInt(draw) < BigInt(winProb)).toBe(wins);
  });

  it.each(vectors.ev)('expected value of $faceValue at $winProb', (vector) => {
    const ev = expectedValue({
      faceValue: BigInt(vector.faceValue),
      winProb: BigInt(vector.winProb),
    });
    expect(formatRational(ev)).toBe(vector.ratString);
    expect(formatDecimal(ev, 0)).toBe(vector.floatString0);
    expect(formatDecimal(ev, 5)).toBe(vector.floatString5);
  });

  const { senderValidation } = vectors;
  it.each(senderValidation.cases)('ticket parameters: $name', (vector) => {
    const chain = { ...senderValidation.baseChain, ...vector.chain };
    const limits = { ...senderValidation.baseLimits, ...vector.limits };
    const refusal = refuseTicketParams(
      {
        recipient: address(vectors.key.address),
        faceValue: BigInt(vector.ticketParams.faceValue),
        winProb: BigInt(vector.ticketParams.winProb),
        recipientRandHash: word(vectors.winningDraw.recipientRandHash),
        seed: 1n,
        expirationBlock: BigInt(vector.ticketParams.expirationBlock),
        creationRound: undefined,
      },
      BigInt(vector.numTickets),
      {
        l1Block: BigInt(chain.lastSeenL1Block),
        round: BigInt(chain.lastInitializedRound),
        deposit: BigInt(chain.deposit),
        reserve: BigInt(chain.reserveFundsRemaining),
        withdrawRound: BigInt(chain.withdrawRound),
      },
      {
        maxTicketEv: ratio(limits.maxTicketEV),
        maxTotalEv: ratio(limits.maxTotalEV),
        depositMultiplier: BigInt(limits.depositMultiplier),
      },
    );
    expect(refusal ? describeRefusal(refusal) : null).toBe(vector.error);
    expect(refusal?.code === 'TICKET_PARAMS_EXPIRED').toBe(vector.expired);
  });
});

describe('signature vectors', () => {
  it.each(vectors.verifySig)('verification: $name', (vector) => {
    expect(
      verifyPersonalSignature(
        address(vector.address),
        fromHex(vector.message),
        fromHex(vector.signature),
      ),
    ).toBe(vector.valid);
  });

  it('refuses orchestrator info signed over the lower-case address', () => {
    const message = keccak_256(Buffer.from(vectors.infoSig.address));
    const signer = address(vectors.infoSig.address);
    expect(toHex(personalMessageDigest(message))).toBe(vectors.infoSig.eip191Digest);
    expect(verifyPersonalSignature(signer, message, fromHex(vectors.infoSig.signature))).toBe(true);
    expect(
      verifyPersonalSignature(
        signer,
        message,
        fromHex(vectors.infoSig.wrong.signatureOverLowercase),
      ),
    ).toBe(false);
  });

  it.each(vectors.segmentCredentials)('segment credentials: $name', (vector) => {
    const flat = flattenSegmentCredentials(vector.manifestId);
    expect(toHex(flat)).toBe(vector.preimage);
    expect(toHex(personalMessageDigest(keccak_256(flat)))).toBe(vector.eip191Digest);
  });
});

describe('accounting vectors', () => {
  it.each(vectors.stageUpdate)('credit $existingCredit to $minCredit at EV $ev', (vector) => {
    const ev = ratio(vector.ev ?? '0');
    const count = ticketsToReach(ratio(vector.minCredit), ratio(vector.existingCredit), ev);
    expect(count).toBe(BigInt(vector.numTickets));
    expect(formatRational(scale(ev, count))).toBe(vector.newCredit);
  });

  it.each(vectors.billing)('credit $existingCredit, fee $fee, EV $ev', (vector) => {
    const [credit, fee, ev] = [ratio(vector.existingCredit), ratio(vector.fee), ratio(vector.ev)];
    const count = ticketsDue('upstream', 'lv2v', {
      credit,
      fee,
      ev,
      price: { pricePerUnit: 1n, pixelsPerUnit: 1n },
      allowance: 100n,
    });
    expect(count).toBe(BigInt(vector.numTickets));
    expect(formatRational(scale(ev, count))).toBe(vector.newCredit);
    if (vector.newBalance !== null) {
      expect(formatRational(subtract(add(credit, scale(ev, count)), fee))).toBe(vector.newBalance);
    }
  });

  it.each(vectors.fees)('$type after $elapsedNanoseconds ns', (vector) => {
    const elapsed = BigInt(vector.elapsedNanoseconds);
    const use = billableUse(
      vector.type as PaymentType,
      elapsed === 0n ? undefined : elapsed,
      BigInt(vector.inPixels),
      'upstream',
    );
    if (vector.error !== undefined) {
      expect('code' in use && describeRefusal(use)).toBe(vector.error);
      return;
    }
    if ('code' in use) throw new Error(use.code);
    expect(use.units).toBe(BigInt(vector.billableUnits));
    const fee = feeFor(use.units, {
      pricePerUnit: BigInt(vector.initialPricePerUnit),
      pixelsPerUnit: BigInt(vector.initialPixelsPerUnit),
    });
    expect(formatRational(fee)).toBe(vector.fee);
  });

  it.each(vectors.floatString)('$rat with $prec decimals', (vector) => {
    expect(formatDecimal(ratio(vector.rat), vector.prec)).toBe(vector.floatString);
  });

  it.each(vectors.maxPriceParse)('maxPrice $maxPrice for $type', (vector) => {
    const parsed = parseMaxPrice(
      { price: '', currency: '', unit: '', ...vector.maxPrice },
      vector.type,
    );
    if ('code' in parsed) expect(describeRefusal(parsed)).toBe(vector.error);
    else expect(formatRational(parsed)).toBe(vector.rat);
  });

  it.each(vectors.priceCeilings)('price $orchestratorPrice under $ceilings', (vector) => {
    const ceiling = (
      source: 'configured maximum price' | 'request maxPrice' | 'initial session price',
    ) => {
      const text = vector.ceilings[source];
      return { source, maximum: typeof text === 'string' ? ratio(text) : undefined };
    };
    const refusal = refusePriceAboveCeilings(ratio(vector.orchestratorPrice), [
      ceiling('configured maximum price'),
      ceiling('request maxPrice'),
      ceiling('initial session price'),
    ]);
    expect(refusal ? describeRefusal(refusal) : null).toBe(vector.error);
    expect(refusal?.code).toBe(vector.status === 481 ? 'PRICE_ABOVE_CEILING' : undefined);
  });
});

describe('wire vectors', () => {
  it.each(vectors.requestDecoding)('request $body', (vector) => {
    const decode = () => decodePaymentRequest(new TextEncoder().encode(vector.body));
    if (!vector.ok) {
      expect(decode).toThrow(expect.objectContaining({ code: 'BODY_MALFORMED' }) as Error);
      return;
    }
    const request = decode();
    const expected = vector.fields ?? {};
    expect({
      ...(request.orchestrator.length > 0 && { orchestrator: toHex(request.orchestrator) }),
      ...(request.manifestId !== '' && { manifestID: request.manifestId }),
      ...(request.type !== '' && { type: request.type }),
      ...(request.maxPrice && { maxPrice: request.maxPrice }),
      ...(request.state && {
        stateBytes: toHex(request.state.state),
        sigBytes: toHex(request.state.sig),
      }),
    }).toEqual(
      'maxPrice' in expected
        ? {
            ...expected,
            maxPrice: { price: '', currency: '', unit: '', ...(expected['maxPrice'] as object) },
          }
        : expected,
    );
    if (vector.hasState !== undefined) expect(request.state !== undefined).toBe(vector.hasState);
  });

  it.each(vectors.lastUpdateFormat)('time $lastUpdate', (vector) => {
    expect(formatGoTime(BigInt(vector.unixNanoseconds))).toBe(vector.lastUpdate);
    expect(parseGoTime(vector.lastUpdate)).toBe(BigInt(vector.unixNanoseconds));
  });

  const schemas = Object.fromEntries(
    Object.values(net).flatMap((value) =>
      'typeName' in value && value.kind === 'message' ? [[value.name, value]] : [],
    ),
  );
  it.each(vectors.protobuf)('protobuf $message: $name', (vector) => {
    const schema = schemas[vector.message];
    if (!schema) throw new Error(`no message ${vector.message}`);
    const message = fromBinary(schema, fromHex(vector.hex));
    expect(toHex(toBinary(schema, message))).toBe(vector.hex);
    if (vector.base64) {
      expect(Buffer.from(toBinary(schema, message)).toString('base64')).toBe(vector.base64);
    }
    const expected = leavesOf(vector.decoded);
    const decoded = new Map<string, string>(leavesOf(toJson(schema, message)));
    for (const [path, text] of expected) {
      const leaf = decoded.get(path) ?? '';
      const isBytes = text.startsWith('0x');
      expect([path, isBytes ? toHex(Buffer.from(leaf, 'base64')) : leaf]).toEqual([path, text]);
    }
    expect(decoded.size).toBe(expected.length);
  });
});

/** Leaves by path, whatever the notation of the keys. */
function leavesOf(value: unknown, path = ''): [path: string, text: string][] {
  if (typeof value !== 'object' || value === null) return [[path, String(value)]];
  return Object.entries(value).flatMap(([key, child]) =>
    leavesOf(child, `${path}/${key.replaceAll('_', '').toLowerCase()}`),
  );
}

describe('the signer over HTTP', () => {
  let signer: TestSigner;
  beforeAll(async () => {
    signer = await startTestSigner({ settings: asUpstream });
  });
  afterAll(() => signer.close());

  it('answers sign-orchestrator-info bit for bit', async () => {
    const response = await fetch(`${signer.url}/sign-orchestrator-info`, { method: 'POST' });
    expect(await response.text()).toBe(vectors.infoSig.responseBody);
  });

  it('takes the Go gateway’s first request', async () => {
    const first = vectors.endToEnd.cases[0];
    signer.now = nanoseconds(first?.now ?? '');
    signer.ids = [];
    expect((await signer.post(vectors.goGatewayFirstRequestBody)).status).toBe(200);
  });

  const direct = vectors.endToEnd.cases.filter((vector) => !vector.webhook);
  it.each(direct)('end to end: $name', async (vector) => {
    const answer = await run(signer, vector);
    expectVectorAnswer(signer, vector, answer);
  });

  const pythonCapabilities = vectors.protobuf.find(({ message }) => message === 'Capabilities');
  it.each(vectors.segmentCredentials)(
    'signs and encodes segment credentials: $name',
    async (vector) => {
      const first = vectors.endToEnd.cases[0];
      signer.now = nanoseconds(first?.now ?? '');
      const body = { ...(JSON.parse(first?.requestBody ?? '') as object) };
      const answer = await signer.post(
        JSON.stringify({
          ...body,
          ManifestID: vector.manifestId,
          ...(vector.capabilities !== undefined && { capabilities: pythonCapabilities?.base64 }),
        }),
      );
      expect(answer.status).toBe(200);
      const { segCreds } = JSON.parse(answer.text) as { segCreds: string };
      expect(segCreds).toBe(vector.segCredsBase64);
      expect(toHex(Buffer.from(segCreds, 'base64'))).toBe(vector.segDataProtobuf);
    },
  );
});

type EndToEnd = (typeof vectors.endToEnd.cases)[number];

function nanoseconds(time: string): bigint {
  const parsed = parseGoTime(time);
  if (typeof parsed !== 'bigint') throw new Error(`${time} is no time`);
  return parsed;
}

function run(signer: TestSigner, vector: EndToEnd) {
  signer.now = nanoseconds(vector.now);
  const isFirst = !vector.requestBody.includes('"state":{"State":"');
  signer.ids = isFirst ? [vector.fixedIds.stateID, vector.fixedIds.manifestID] : [];
  signer.key.reset();
  signer.logLines.length = 0;
  return signer.post(vector.requestBody, vector.requestHeaders);
}

function expectVectorAnswer(
  signer: TestSigner,
  vector: EndToEnd,
  answer: { status: number; text: string; headers: Headers },
) {
  if (vector.hiddenCause !== undefined) {
    // difference 18: what upstream masks is a 400 with its reason
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toEqual({ error: { message: vector.hiddenCause } });
    expect(signer.key.digests).toHaveLength(0);
    return;
  }
  expect(answer.text).toBe(vector.responseBody);
  expect(answer.status).toBe(vector.status);
  for (const [name, value] of Object.entries(vector.responseHeaders ?? {})) {
    expect(answer.headers.get(name)).toBe(value);
  }
  if (vector.status !== 200) expect(signer.key.digests).toHaveLength(0);
  if (vector.kafkaEventData) {
    const line = signer.logLines.find(({ msg }) => msg === 'payment signed');
    expect(line?.['payment']).toMatchObject({
      ...vector.kafkaEventData,
      // ours has 128 bits (difference 22)
      request_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    });
    expect(answer.headers.get('x-request-id')).toBe(line?.['request_id']);
  }
}

describe('the auth webhook', () => {
  let signer: TestSigner;
  let webhook: http.Server;
  let reply: { status: number; body: string };
  let asked: { headers: Record<string, string[]>; state: unknown }[] = [];

  beforeAll(async () => {
    webhook = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        asked.push(JSON.parse(Buffer.concat(chunks).toString()) as (typeof asked)[number]);
        response.writeHead(reply.status, { 'Content-Type': 'application/json' });
        response.end(reply.body);
      });
    });
    await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
    const { port } = webhook.address() as AddressInfo;
    signer = await startTestSigner({
      settings: { ...asUpstream, auth: { webhook: { url: `http://127.0.0.1:${port}/auth` } } },
    });
  });
  afterAll(async () => {
    await signer.close();
    webhook.close();
  });

  it.each(vectors.endToEnd.cases.filter((vector) => vector.webhook))(
    'end to end: $name',
    async (vector) => {
      asked = [];
      reply = { status: 200, body: JSON.stringify(vector.webhook?.responseBody) };
      const answer = await run(signer, vector);
      expectVectorAnswer(signer, vector, answer);
      expect(asked).toHaveLength(1);
      expect(asked[0]?.state).toEqual(vector.webhook?.requestState);
    },
  );

  const paymentOfType: Record<string, EndToEnd | undefined> = {
    lv2v: vectors.endToEnd.cases[0],
    fixed: vectors.endToEnd.cases.find((vector) => vector.webhook),
    '': vectors.endToEnd.cases.find((vector) => vector.name === 'empty type with inPixels'),
  };
  it.each(vectors.webhookAnswers)(
    'webhook $webhookHttpStatus $webhookBody on "$paymentType"',
    async (vector) => {
      expect(parsePaymentType(vector.paymentType)).toBe(vector.paymentType);
      const payment = paymentOfType[vector.paymentType];
      if (!payment) throw new Error(`no payment of type ${vector.paymentType}`);
      reply = { status: vector.webhookHttpStatus, body: vector.webhookBody };
      const answer = await run(signer, payment);
      if (vector.outcome === 'proceed') {
        expect(answer.status).toBe(200);
        return;
      }
      expect(answer.status).toBe(vector.signerStatus);
      expect(answer.text).toBe(withCodeOf(vector.webhookBody, vector.signerBody ?? ''));
      expect(answer.headers.get('livepeer-orchestrator-url')).toBeNull();
      expect(signer.key.digests).toHaveLength(0);
    },
  );
});

/** go-livepeer drops a webhook's `code`; here it follows the message. */
function withCodeOf(webhookBody: string, signerBody: string): string {
  const code = /"status":(?!500|503)\d+.*"code":("\w+")/.exec(webhookBody)?.[1];
  return code === undefined ? signerBody : signerBody.replace('"}}', `","code":${code}}}`);
}

describe('contract vectors', () => {
  const keccakOf = (text: string): Hex => toHex(keccak_256(Buffer.from(text)));
  it.each(Object.entries(vectors.abi.selectors))('selector of %s', (signature, selector) => {
    expect(keccakOf(signature).slice(0, 10)).toBe(selector);
  });
  it.each(Object.entries(vectors.abi.contractIds))('controller key of %s', (name, id) => {
    expect(keccakOf(name)).toBe(id);
  });
  it.each(Object.entries(vectors.abi.eventTopics))('topic of %s', (signature, topic) => {
    expect(keccakOf(signature)).toBe(topic);
  });
});
