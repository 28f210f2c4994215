import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { PaymentSchema, SegDataSchema } from '../../src/wire/net_pb.ts';
import vectors from '../vectors/vectors.json' with { type: 'json' };
import { fromHex, keccak256, toHex, toInteger, toWord } from './bytes.ts';
import {
  findSignatureFault,
  orchestratorInfoMessage,
  personalMessageDigest,
  segmentMessage,
} from './signatures.ts';
import { auxData, isWinning, ticketHash } from './ticket.ts';

const payer = fromHex(vectors.key.address);

describe('the protocol vectors', () => {
  it.each(vectors.tickets)('give the ticket hash of $name', (vector) => {
    const hash = ticketHash({
      recipient: fromHex(vector.recipient),
      sender: fromHex(vector.sender),
      faceValue: BigInt(vector.faceValue),
      winProb: BigInt(vector.winProb),
      senderNonce: vector.senderNonce,
      recipientRandHash: fromHex(vector.recipientRandHash),
      creation: {
        round: BigInt(vector.creationRound),
        blockHash: fromHex(vector.creationRoundBlockHash),
      },
    });
    expect(toHex(hash)).toBe(vector.hash);
    expect(toHex(personalMessageDigest(hash))).toBe(vector.eip191Digest);
    expect(findSignatureFault(payer, hash, fromHex(vector.signature))).toBeUndefined();
  });

  it.each(vectors.auxData)('give the aux data of round $creationRound', (vector) => {
    const creation = {
      round: BigInt(vector.creationRound),
      blockHash: fromHex(vector.creationRoundBlockHash),
    };
    expect(toHex(auxData(creation))).toBe(vector.auxData);
  });

  it('give the outcome of the draw', () => {
    const { winProb, signature, recipientRand, recipientRandHash, draw, wins } =
      vectors.winningDraw;
    const rand = toInteger(fromHex(recipientRand));
    const drawn = toInteger(fromHex(draw));
    expect(toHex(keccak256(toWord(rand)))).toBe(recipientRandHash);
    expect(isWinning(toInteger(fromHex(winProb)), fromHex(signature), rand)).toBe(wins);
    expect(isWinning(drawn, fromHex(signature), rand)).toBe(false);
    expect(isWinning(drawn + 1n, fromHex(signature), rand)).toBe(true);
  });

  it.each(vectors.verifySig)('judge a signature: $name', (vector) => {
    const fault = findSignatureFault(
      fromHex(vector.address),
      fromHex(vector.message),
      fromHex(vector.signature),
    );
    expect(fault === undefined).toBe(vector.valid);
  });

  it('give the message of the orchestrator info signature', () => {
    const message = orchestratorInfoMessage(fromHex(vectors.infoSig.address));
    expect(toHex(message)).toBe(vectors.infoSig.keccak256);
    const fault = findSignatureFault(payer, message, fromHex(vectors.infoSig.signature));
    expect(fault).toBeUndefined();
  });

  it.each(vectors.segmentCredentials)('give the message of credentials: $name', (vector) => {
    const message = segmentMessage({
      manifestId: Buffer.from(vector.manifestId, 'utf8'),
      seq: BigInt(vector.seq),
      hash: fromHex(vector.dataHash),
      profiles: vector.profilesHex,
    });
    expect(toHex(message)).toBe(vector.keccak256);
    expect(findSignatureFault(payer, message, fromHex(vector.signature))).toBeUndefined();
  });

  it('give the message of a segment with profiles', () => {
    const literal = vectors.segmentFlattenLiteral;
    const message = segmentMessage({
      manifestId: Buffer.from(literal.manifestId, 'utf8'),
      seq: BigInt(literal.seq),
      hash: fromHex(literal.dataHash),
      profiles: literal.profilesHexText,
    });
    expect(toHex(message)).toBe(literal.keccak256);
  });

  const paid = vectors.endToEnd.cases.flatMap(({ name, paymentProtobuf, segDataProtobuf }) =>
    paymentProtobuf === undefined ? [] : [{ name, paymentProtobuf, segDataProtobuf }],
  );
  it.each(paid)(
    'carry valid signatures end to end: $name',
    ({ paymentProtobuf, segDataProtobuf }) => {
      const payment = fromBinary(PaymentSchema, fromHex(paymentProtobuf));
      const params = payment.ticketParams;
      const creation = payment.expirationParams;
      if (params === undefined || creation === undefined) throw new Error('incomplete payment');
      expect(payment.ticketSenderParams.length).toBeGreaterThan(0);
      for (const { senderNonce, sig } of payment.ticketSenderParams) {
        const hash = ticketHash({
          recipient: params.recipient,
          sender: payment.sender,
          faceValue: toInteger(params.faceValue),
          winProb: toInteger(params.winProb),
          senderNonce,
          recipientRandHash: params.recipientRandHash,
          creation: { round: creation.creationRound, blockHash: creation.creationRoundBlockHash },
        });
        expect(findSignatureFault(payment.sender, hash, sig)).toBeUndefined();
      }
      const segment = fromBinary(SegDataSchema, fromHex(segDataProtobuf));
      const message = segmentMessage({ ...segment, profiles: '' });
      expect(findSignatureFault(payment.sender, message, segment.sig)).toBeUndefined();
    },
  );
});
