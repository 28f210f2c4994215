import { crc32 } from 'node:zlib';
import { Producer, stringSerializers } from '@platformatic/kafka';
import type { Secret } from '../../secret.ts';
import { DeliveryError, type EventSink } from '../sink.ts';

export type KafkaSinkOptions = {
  /** HOST:PORT of some of the cluster's brokers */
  readonly brokers: readonly string[];
  readonly topic: string;
  /** undefined for plain text; `ca` is PEM, undefined for the system's own */
  readonly tls: { readonly ca: string | undefined } | undefined;
  readonly sasl:
    | {
        readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
        readonly username: string;
        readonly password: Secret;
      }
    | undefined;
};

const timeoutMs = 10_000;
/** acknowledged once all in-sync replicas have the events */
const acksOfAll = -1;

/**
 * Produces events to a topic, with the event's id as key and go-livepeer's partitioner: CRC-32 of the key, modulo the number of
 * partitions. A batch counts as delivered once all in-sync replicas have it.
 */
export function createKafkaSink({ brokers, topic, tls, sasl }: KafkaSinkOptions): EventSink {
  const producer = new Producer({
    clientId: 'livepeer-hsm-signer',
    bootstrapBrokers: [...brokers],
    serializers: stringSerializers,
    // the delivery itself retries, for as long as it takes
    retries: 0,
    timeout: timeoutMs,
    connectTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    ...(tls && { tls: tls.ca === undefined ? {} : { ca: tls.ca } }),
    ...(sasl && {
      sasl: {
        mechanism: sasl.mechanism,
        username: sasl.username,
        password: () => sasl.password.reveal(),
      },
    }),
  });

  return {
    name: 'kafka',
    async send(events) {
      try {
        const metadata = await producer.metadata({ topics: [topic] });
        const partitions = metadata.topics.get(topic)?.partitionsCount ?? 1;
        await producer.send({
          messages: events.map(({ id, value }) => ({
            topic,
            key: id,
            value,
            partition: crc32(id) % partitions,
          })),
          acks: acksOfAll,
        });
      } catch (error) {
        throw new DeliveryError(
          error instanceof Error && error.message.startsWith('Unknown topic')
            ? `there is no topic ${topic} at the Kafka brokers; make it`
            : `Kafka did not take the events (${codesOf(error).join(', ')})`,
        );
      }
    },
    async close() {
      // the library would wait for connections that are still being made
      for (const [, { socket }] of producer.connections) socket.destroy();
      await producer.close(true);
    },
  };
}

/** The library's messages may hold settings; its codes don't. */
function codesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return ['unknown'];
  const { code, apiId } = error as { code?: unknown; apiId?: unknown };
  const own = [apiId, code, error.name].find((name) => typeof name === 'string') ?? 'unknown';
  const inner = error instanceof AggregateError ? (error.errors as unknown[]) : [error.cause];
  const codes = [own, ...inner.filter((one) => one !== undefined).flatMap(codesOf)];
  return [...new Set(codes)];
}
