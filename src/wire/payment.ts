import { create, toBinary } from '@bufbuild/protobuf';
import { fromHex, utf8ToBytes } from '../pm/bytes.ts';
import { emptySegmentHash } from '../pm/segment-credentials.ts';
import type { Ticket } from '../pm/ticket.ts';
import {
  type AuthToken,
  type Capabilities,
  CapabilitiesSchema,
  Capabilities_CapabilityConstraintsSchema,
  Capabilities_CapabilityConstraints_ModelConstraintSchema,
  Capabilities_ConstraintsSchema,
  PaymentSchema,
  SegDataSchema,
} from './net_pb.ts';
import type { OrchestratorInfo } from './orchestrator-info.ts';

/** A ticket with its 65-byte signature. */
export type SignedTicket = { readonly ticket: Ticket; readonly signature: Uint8Array };

/**
 * Protobuf `net.Payment` for tickets of one orchestrator, in nonce order; at least one. Integers are minimal
 * big-endian and the price is the one quoted with the parameters, since the orchestrator's HMAC covers both.
 */
export function encodePayment(
  { sentParams, priceInfo }: OrchestratorInfo,
  signed: readonly [SignedTicket, ...SignedTicket[]],
): Uint8Array {
  const { sender, creationRound } = signed[0].ticket;
  const payment = create(PaymentSchema, {
    ticketParams: sentParams,
    sender: fromHex(sender),
    expirationParams: {
      creationRound: creationRound.round,
      creationRoundBlockHash: fromHex(creationRound.blockHash),
    },
    ticketSenderParams: signed.map(({ ticket, signature }) => ({
      senderNonce: ticket.senderNonce,
      sig: signature,
    })),
    expectedPrice: priceInfo,
  });
  return toBinary(PaymentSchema, payment);
}

const noProfiles = utf8ToBytes('invalid');

/**
 * Protobuf `net.SegData` for the empty segment that payment credentials describe. Capabilities, duration and auth
 * token are not covered by the signature.
 */
export function encodeSegmentCredentials(
  manifestId: string,
  signature: Uint8Array,
  authToken: AuthToken,
  capabilities: Capabilities | undefined,
): Uint8Array {
  const credentials = create(SegDataSchema, {
    manifestId: utf8ToBytes(manifestId),
    hash: emptySegmentHash,
    profiles: noProfiles,
    sig: signature,
    authToken,
  });
  if (capabilities) credentials.capabilities = rebuildCapabilities(capabilities);
  return toBinary(SegDataSchema, credentials);
}

/**
 * Capabilities as go-livepeer writes them after reading them: constraints are always there, capacities are derived
 * from the bits where none are given, capacity in use and unknown fields are dropped.
 */
function rebuildCapabilities(from: Capabilities): Capabilities {
  const { bitstring, mandatories, version, constraints } = from;
  const perCapability = mapValues(constraints?.perCapability ?? {}, ({ models }) =>
    create(Capabilities_CapabilityConstraintsSchema, {
      models: mapValues(models, ({ warm, capacity, runnerVersion }) =>
        create(Capabilities_CapabilityConstraints_ModelConstraintSchema, {
          warm,
          capacity,
          runnerVersion,
        }),
      ),
    }),
  );
  const isGiven = Object.keys(from.capacities).length > 0;
  return create(CapabilitiesSchema, {
    bitstring,
    mandatories,
    capacities: isGiven ? from.capacities : oneForEachSetBit(bitstring),
    version,
    constraints: create(Capabilities_ConstraintsSchema, {
      minVersion: constraints?.minVersion ?? '',
      perCapability,
    }),
  });
}

function oneForEachSetBit(bitstring: readonly bigint[]): Record<number, number> {
  const capacities: Record<number, number> = {};
  bitstring.forEach((word, index) => {
    for (let bit = 0; bit < 64; bit++) {
      if ((word >> BigInt(bit)) & 1n) capacities[64 * index + bit] = 1;
    }
  });
  return capacities;
}

function mapValues<From, To>(
  from: Readonly<Record<string, From>>,
  convert: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, convert(value)]));
}

/** How many bytes an answer copies of capabilities that a request names. */
export function countCopiedBytes(capabilities: Capabilities): number {
  return toBinary(CapabilitiesSchema, rebuildCapabilities(capabilities)).length;
}
