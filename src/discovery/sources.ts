import { createDestinations } from '../outgoing/destinations.ts';
import { getOutgoing } from '../outgoing/get.ts';
import { OutgoingError } from '../outgoing/outgoing-error.ts';
import {
  FieldTypeError,
  type Mutable,
  createStructReader,
  readObject,
  readString,
} from '../wire/go-struct.ts';
import { parseJson } from '../wire/json.ts';

/** Where orchestrators come from. */
export type OrchestratorSource = {
  /** the setting's name */
  readonly name: string;
  /** Service URLs as they are written there. Throws what it may; the last list that it gave stays then. */
  list(signal: AbortSignal): Promise<readonly string[]>;
};

/** A list in the configuration. */
export function listSource(orchestrators: readonly string[]): OrchestratorSource {
  return { name: 'discovery.orchestrators', list: () => Promise.resolve(orchestrators) };
}

const webhookTimeoutMs = 3_000;
const maxWebhookBytes = 1_048_576;
/** The operator has written this URL, so it may be anywhere. */
const anywhere = ['0.0.0.0/0', '::/0'];

/** A URL that answers `[{address, score}]`, as go-livepeer's `-orchWebhookUrl`. */
export function webhookSource(url: string): OrchestratorSource {
  const destinations = createDestinations(anywhere);
  return {
    name: 'discovery.webhookUrl',
    async list(signal) {
      const { status, body } = await getOutgoing(destinations, new URL(url), {
        timeoutMs: webhookTimeoutMs,
        maxBytes: maxWebhookBytes,
        verifyTls: true,
        signal,
      });
      if (status !== 200) throw new OutgoingError('status', `HTTP status ${status}, not 200`);
      return readAddresses(body);
    },
  };
}

type Listed = { readonly address: string };

const readListed = createStructReader<Mutable<Listed>>({
  address: (listed, value, field) => (listed.address = readString(value, field)),
});

function readAddresses(body: Uint8Array): readonly string[] {
  try {
    const list = parseJson(body);
    if (list.kind !== 'array') throw new FieldTypeError('list', 'an array');
    return list.items.map((item) => {
      const listed: Mutable<Listed> = { address: '' };
      readListed(listed, readObject(item, 'entry'));
      return listed.address;
    });
  } catch (cause) {
    throw new OutgoingError('malformed', 'no JSON array of {address}', { cause });
  }
}

/** Orchestrators register new service URIs at any time; a round lasts most of a day. */
const rereadAfterMs = 3_600_000;

/**
 * The orchestrators that are active on the chain: read when a round begins, and each hour. `currentRound` throws where the chain is
 * not known well enough.
 */
export function chainSource(
  currentRound: () => bigint,
  read: (round: bigint, signal: AbortSignal) => Promise<readonly string[]>,
): OrchestratorSource {
  let last: { round: bigint; atMs: number; serviceUris: readonly string[] } | undefined;
  return {
    name: 'discovery.chain',
    async list(signal) {
      const round = currentRound();
      const isCurrent = last?.round === round && performance.now() - last.atMs < rereadAfterMs;
      if (last && isCurrent) return last.serviceUris;
      last = { round, atMs: performance.now(), serviceUris: await read(round, signal) };
      return last.serviceUris;
    },
  };
}
