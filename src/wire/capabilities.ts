import { create, toBinary } from '@bufbuild/protobuf';
import { RequestError } from '../errors.ts';
import { decodeOnce } from './decode-once.ts';
import {
  type Capabilities,
  CapabilitiesSchema,
  Capabilities_CapabilityConstraintsSchema,
  Capabilities_CapabilityConstraints_ModelConstraintSchema,
  Capabilities_ConstraintsSchema,
} from './net_pb.ts';
import { describeUnreadable, readMessage } from './protobuf.ts';

/** What a payment needs of the request's `net.Capabilities`. */
export type RequestedCapabilities = {
  /** the models that the capabilities are constrained to */
  readonly models: readonly CapabilityModel[];
  /** as they are written into the answer */
  readonly sent: Capabilities;
  /** the length of `sent` in bytes */
  readonly copiedBytes: number;
};

type CapabilityModel = { readonly capability: number; readonly model: string };

/** Far more than exist; each word costs work, and bytes in the answer. */
const maxBitstringWords = 64;

const decodeGiven = decodeOnce((bytes): RequestedCapabilities => {
  let capabilities;
  try {
    capabilities = readMessage(CapabilitiesSchema, bytes);
  } catch (error) {
    const message = describeUnreadable('net.Capabilities', error);
    throw new RequestError('CAPABILITIES_MALFORMED', message, { cause: error });
  }
  if (capabilities.bitstring.length > maxBitstringWords) {
    throw new RequestError(
      'CAPABILITIES_MALFORMED',
      `capabilities name more than ${64 * maxBitstringWords} bits`,
    );
  }
  const sent = rebuild(capabilities);
  const copiedBytes = toBinary(CapabilitiesSchema, sent).length;
  return { models: listModels(capabilities), sent, copiedBytes };
});

/**
 * Decodes the request's `capabilities`; undefined when there are none. The same object may be given for the same bytes, so nobody
 * may change it. Throws `CAPABILITIES_MALFORMED`.
 */
export function decodeCapabilities(bytes: Uint8Array): RequestedCapabilities | undefined {
  return bytes.length === 0 ? undefined : decodeGiven(bytes);
}

/** The capability numbers and model ids that capabilities are constrained to. */
export function listModels(capabilities: Capabilities | undefined): CapabilityModel[] {
  return Object.entries(capabilities?.constraints?.perCapability ?? {}).flatMap(
    ([capability, { models }]) =>
      Object.keys(models).map((model) => ({ capability: Number(capability), model })),
  );
}

/**
 * Capabilities as go-livepeer writes them after reading them: constraints are always present, capacities are derived from the
 * bits where none are given, and the capacity in use and unknown fields are dropped.
 */
function rebuild(from: Capabilities): Capabilities {
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
