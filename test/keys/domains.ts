import {
  type Hex,
  concat,
  domainSeparator,
  encodePacked,
  getAddress,
  hashStruct,
  hexToBytes,
  keccak256,
  serializeTransaction,
  stringToHex,
  toHex,
} from 'viem';
import type { Intent } from '../../src/keys/intents.ts';
import { encodeBrokerCall } from '../../src/keys/broker-transaction.ts';
import type { Ticket } from '../../src/pm/ticket.ts';

/** What byte strings of one kind look like, whatever a caller chooses: every one of them has this form. */
export type Form = {
  /** first and last length of each range, in bytes */
  readonly lengths: readonly (readonly [first: number, last: number])[];
  readonly start?: Uint8Array;
  readonly end?: Uint8Array;
  /** none of them starts with this */
  readonly never?: Uint8Array;
};

/**
 * The three layers of what is signed. The digest is keccak256 of an envelope; a personal message's envelope holds a message;
 * and some messages are the keccak256 of a preimage.
 */
export type Domain =
  { readonly envelope: Form } | { readonly message: Form } | { readonly preimage: Form };

const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const hex = (digits: string): Uint8Array => new Uint8Array(Buffer.from(digits, 'hex'));
const any = Infinity;

export const personalPrefix = '\x19Ethereum Signed Message:\n';

/** Every EIP-191 personal message in its envelope. */
export const personalEnvelope: Form = {
  lengths: [[personalPrefix.length + 1, any]],
  start: utf8(personalPrefix),
};

/** A message that is a keccak256. */
export const hashedMessage: Form = { lengths: [[32, 32]] };

const jobTag = utf8('LP_BYOC_JOB_V1');
const hashOfNothing = 'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470';

/**
 * Every kind of thing that the key signs. Written down by hand from the protocol, not taken from the code that it judges.
 * A kind of `Intent` without a row here fails a test.
 */
export const domains: Readonly<Record<Intent['kind'], Domain>> = {
  // the recipient comes first, which the orchestrator chooses
  'ticket-batch': {
    preimage: {
      lengths: [
        [168, 168],
        [232, 232],
      ],
      never: jobTag,
    },
  },
  // the caller's manifest id comes first; what follows is the same for all
  'segment-credentials': {
    preimage: {
      lengths: [
        [64, 167],
        [169, 231],
        [233, any],
      ],
      end: hex('00'.repeat(32) + hashOfNothing),
      never: jobTag,
    },
  },
  // tag, time-out, and the caller's four texts behind their lengths, two of them not empty
  'byoc-job': {
    preimage: {
      lengths: [
        [38, 167],
        [169, 231],
        [233, any],
      ],
      start: hex(`${Buffer.from(jobTag).toString('hex')}0000`),
    },
  },
  // an address as text
  'orchestrator-info': { preimage: { lengths: [[42, 42]], start: utf8('0x') } },
  // JSON with thirteen members at least
  'session-state': {
    message: { lengths: [[250, any]], start: utf8('{"StateID":"'), end: utf8('}') },
  },
  'self-test': {
    message: { lengths: [[75, 75]], start: utf8('livepeer-hsm-signer self-test of 0x') },
  },
  // EIP-712
  'state-delegation': { envelope: { lengths: [[66, 66]], start: hex('1901') } },
  // EIP-2718, type 2
  'broker-transaction': { envelope: { lengths: [[2, any]], start: hex('02') } },
};

/** What forms each layer of a domain has, the outermost first. */
export function layersOf(domain: Domain): Form[] {
  if ('envelope' in domain) return [domain.envelope];
  if ('message' in domain) return [personalEnvelope, domain.message];
  return [personalEnvelope, hashedMessage, domain.preimage];
}

const hasLength = ({ lengths }: Form, length: number): boolean =>
  lengths.some(([first, last]) => length >= first && length <= last);

const startsWith = (bytes: Uint8Array, start: Uint8Array): boolean =>
  start.every((byte, index) => bytes[index] === byte);

/** Whether bytes have the form. */
export function hasForm(bytes: Uint8Array, form: Form): boolean {
  const { start = new Uint8Array(), end = new Uint8Array(), never } = form;
  return (
    hasLength(form, bytes.length) &&
    startsWith(bytes, start) &&
    startsWith(bytes.subarray(bytes.length - end.length), end) &&
    !(never && startsWith(bytes, never))
  );
}

const none = new Uint8Array();

/** Whether the two say different things of a byte that both of them fix. */
const differ = (one: Uint8Array, other: Uint8Array): boolean =>
  one.some((byte, index) => index < other.length && byte !== other[index]);

/** Why no byte string of this length has both forms; undefined where one might. */
export function whyApart(one: Form, other: Form, length: number): string | undefined {
  if (!hasLength(one, length) || !hasLength(other, length)) return 'length';
  if (differ(one.start ?? none, other.start ?? none)) return 'start';
  if (differ((one.end ?? none).toReversed(), (other.end ?? none).toReversed())) return 'end';
  for (const [{ never }, { start = none }] of [
    [one, other],
    [other, one],
  ] as const) {
    if (never && never.length <= start.length && startsWith(start, never)) return 'never';
  }
  return undefined;
}

/**
 * Every length that has to be looked at. Beyond the largest number that one of the forms names, whether a form has a length does
 * not change any more, and nothing else in it depends on the length: one more stands for all that are greater.
 */
export function lengthsToTry(...forms: readonly Form[]): number[] {
  const bounds = forms.flatMap(({ lengths }) => lengths.flat()).filter(Number.isFinite);
  return Array.from({ length: Math.max(...bounds) + 2 }, (_, length) => length);
}

/** The layer at which the domains are told apart, with the reasons; undefined where nothing tells them apart. */
export function separationOf(
  one: Domain,
  other: Domain,
): { readonly layer: number; readonly reasons: readonly string[] } | undefined {
  const others = layersOf(other);
  for (const [layer, form] of layersOf(one).entries()) {
    const counterpart = others[layer];
    if (!counterpart) return undefined;
    const reasons = lengthsToTry(form, counterpart).map((length) =>
      whyApart(form, counterpart, length),
    );
    if (reasons.every((reason) => reason !== undefined)) {
      return { layer, reasons: [...new Set(reasons)] };
    }
  }
  return undefined;
}

type Layers = readonly Uint8Array[];

const personal = (message: Uint8Array): Layers => [
  hexToBytes(concat([stringToHex(`${personalPrefix}${message.length}`), toHex(message)])),
  message,
];

const hashed = (preimage: Hex): Layers => [
  ...personal(hexToBytes(keccak256(preimage))),
  hexToBytes(preimage),
];

function ticketPreimage(ticket: Ticket): Hex {
  const { round, blockHash } = ticket.creationRound;
  const isBare = round === 0n && BigInt(blockHash) === 0n;
  return encodePacked(
    ['address', 'address', 'uint256', 'uint256', 'uint256', 'bytes32', 'bytes'],
    [
      ticket.recipient,
      ticket.sender,
      ticket.faceValue,
      ticket.winProb,
      BigInt(ticket.senderNonce),
      ticket.recipientRandHash,
      isBare ? '0x' : encodePacked(['uint256', 'bytes32'], [round, blockHash]),
    ],
  );
}

/** The layers of each signature that an intent asks for, made by viem: the outermost one's keccak256 is the digest. */
export function encodeLayers(intent: Intent): Layers[] {
  switch (intent.kind) {
    case 'ticket-batch':
      return intent.tickets.map((ticket) => hashed(ticketPreimage(ticket)));
    case 'segment-credentials':
      return [
        hashed(concat([stringToHex(intent.manifestId), toHex(0, { size: 32 }), keccak256('0x')])),
      ];
    case 'byoc-job': {
      const { id, capability, request, parameters, timeoutSeconds } = intent.job;
      const texts = [id, capability, request, parameters].flatMap((text) => {
        const bytes = stringToHex(text);
        return [toHex(bytes.length / 2 - 1, { size: 4 }), bytes];
      });
      const head = stringToHex('LP_BYOC_JOB_V1', { size: 16 });
      return [hashed(concat([head, toHex(timeoutSeconds, { size: 4 }), ...texts]))];
    }
    case 'orchestrator-info':
      return [hashed(stringToHex(getAddress(intent.sender)))];
    case 'session-state':
      return [personal(intent.state)];
    case 'self-test':
      return [personal(utf8(`livepeer-hsm-signer self-test of ${getAddress(intent.sender)}`))];
    case 'state-delegation': {
      const { chainId, broker, instanceKey, notBefore, notAfter } = intent.delegation;
      const separator = domainSeparator({
        domain: { name: 'livepeer-hsm-signer', version: '1', chainId, verifyingContract: broker },
      });
      const struct = hashStruct({
        primaryType: 'StateDelegation',
        types: {
          StateDelegation: [
            { name: 'instanceKey', type: 'bytes32' },
            { name: 'notBefore', type: 'uint64' },
            { name: 'notAfter', type: 'uint64' },
          ],
        },
        data: { instanceKey: toHex(instanceKey), notBefore, notAfter },
      });
      return [[hexToBytes(concat(['0x1901', separator, struct]))]];
    }
    case 'broker-transaction': {
      const { chainId, broker, nonce, gasLimit, maxFeePerGas, maxPriorityFeePerGas, call } =
        intent.transaction;
      const serialized = serializeTransaction({
        type: 'eip1559',
        chainId,
        to: broker,
        nonce,
        gas: gasLimit,
        maxFeePerGas,
        maxPriorityFeePerGas,
        ...encodeBrokerCall(call),
      });
      return [[hexToBytes(serialized)]];
    }
  }
}
