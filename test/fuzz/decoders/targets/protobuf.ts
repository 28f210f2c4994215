import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { RequestError } from '../../../../src/errors.ts';
import { readOrchestratorInfo } from '../../../../src/discovery/read-orchestrator-info.ts';
import { OutgoingError } from '../../../../src/outgoing/outgoing-error.ts';
import { CapabilitiesSchema, OrchestratorInfoSchema } from '../../../../src/wire/net_pb.ts';
import { decodeCapabilities } from '../../../../src/wire/capabilities.ts';
import { decodeOrchestratorInfo } from '../../../../src/wire/orchestrator-info.ts';
import { readMessage } from '../../../../src/wire/protobuf.ts';
import { vectors } from '../../../vectors/vectors.ts';
import { GoRefusal, readAsGo, sizeOf } from '../../go-protobuf.ts';
import { type Target, attempt, expectThat } from '../target.ts';

/** The product reads what Go reads, refuses what Go refuses, and writes it as it was. */
function compareWithGo(schema: DescMessage, bytes: Uint8Array): void {
  const go = attempt(
    () => readAsGo(schema, bytes),
    (error) => error instanceof GoRefusal,
  );
  const ours = attempt(
    () => readMessage(schema, bytes),
    (error) =>
      error instanceof Error && (!(error instanceof TypeError) || error.message.includes('utf-8')),
  );
  if ('refusal' in ours) {
    const { message } = ours.refusal;
    // groups that nobody sends may be nested a hundred deep, and no more
    const isDeep = message.startsWith('groups are nested');
    expectThat(isDeep || 'refusal' in go, `refused, yet Go reads it: ${message.slice(0, 60)}`);
    return;
  }
  if ('refusal' in go) {
    expectThat(false, `read, yet Go refuses it: ${go.refusal.message}`);
    return;
  }
  const [own, gos] = [plain(ours.value), plain(go.value)];
  expectThat(own === gos, 'read in another way than Go does');
  const written = toBinary(schema, ours.value);
  expectThat(
    written.length === sizeOf(schema, go.value),
    'written in another size than its fields have',
  );
  const again = readMessage(schema, written);
  expectThat(plain(again) === own, 'written in another way than it was read');
}

/** Names of types left out, bytes as hex, and the fields in one order. */
function plain(message: MessageShape<DescMessage>): string {
  return JSON.stringify(message, (name, value: unknown) => {
    if (name === '$typeName') return undefined;
    if (typeof value === 'bigint') return `${value}n`;
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

const good = vectors.endToEnd.cases.filter(({ status }) => status === 200);
const membersOf = (name: string): Uint8Array[] =>
  good.flatMap(({ requestBody }) => {
    const value = (JSON.parse(requestBody) as Record<string, unknown>)[name];
    return typeof value === 'string' ? [Uint8Array.from(Buffer.from(value, 'base64'))] : [];
  });
const hex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits, 'hex'));

const capabilities = [
  ...membersOf('capabilities'),
  // two words, capacities, a version, and two models of a capability
  hex(
    '0a020102120103' +
      '1a0408231001' +
      '2205302e382e31' +
      '2a1e12170823121' +
      '30a110a046e6f6f7012090801100218032203302e31' +
      '0a03302e31',
  ),
];

export const protobufTargets: readonly Target[] = [
  {
    name: 'orchestrator',
    format: 'protobuf',
    files: ['src/wire/protobuf.ts', 'src/wire/orchestrator-info.ts', 'src/pm/bytes.ts'],
    seeds: membersOf('orchestrator'),
    check(input) {
      attempt(
        () => decodeOrchestratorInfo(input),
        (error) => error instanceof RequestError,
      );
      compareWithGo(OrchestratorInfoSchema, input);
    },
  },
  {
    name: 'capabilities',
    format: 'protobuf',
    files: ['src/wire/protobuf.ts', 'src/wire/capabilities.ts'],
    seeds: capabilities,
    check(input) {
      const read = attempt(
        () => decodeCapabilities(input),
        (error) => error instanceof RequestError,
      );
      if ('value' in read) {
        for (const { capability } of read.value?.models ?? []) {
          expectThat(Number.isInteger(capability), 'a capability that is no number');
        }
      }
      compareWithGo(CapabilitiesSchema, input);
    },
  },
  {
    name: 'orchestrator-terms',
    format: 'protobuf',
    files: ['src/discovery/read-orchestrator-info.ts', 'src/discovery/service-url.ts'],
    seeds: membersOf('orchestrator'),
    check(input) {
      const ceiling = { numerator: 1_000_000n, denominator: 1n };
      const go = attempt(
        () => readAsGo(OrchestratorInfoSchema, input),
        (error) => error instanceof GoRefusal,
      );
      const read = attempt(
        () => readOrchestratorInfo(input, () => ceiling),
        (error) => error instanceof OutgoingError && error.failure === 'malformed',
      );
      if ('refusal' in read) return;
      expectThat('value' in go, 'listed, yet Go can’t read it');
      expectThat(read.value.offer.capabilities.length <= 256, 'too many capabilities');
      expectThat(/^https?:/i.test(read.value.offer.address), 'an address that is no URL');
      expectThat(
        plainList(read.value.nodes) === plainList(go.value.nodes),
        'other nodes than Go reads',
      );
    },
  },
];

const plainList = (list: readonly string[]): string => JSON.stringify(list);
