import { crc32 } from 'node:zlib';
import { Producer, stringSerializers } from '@platformatic/kafka';
import type { Secret } from '../../secret.ts';
import { DeliveryError, type EventSink, type OutgoingEvent } from '../sink.ts';

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
const ipAddress = /^(?:[\d.]+|\[.*\]):\d+$/;

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
    ...(tls && {
      tls: tls.ca === undefined ? {} : { ca: tls.ca },
      // brokers that share an address are told apart by the name in the TLS handshake, which may not be an IP address
      tlsServerName: !brokers.some((broker) => ipAddress.test(broker)),
    }),
    ...(sasl && {
      sasl: {
        mechanism: sasl.mechanism,
        username: sasl.username,
        password: () => sasl.password.reveal(),
      },
    }),
  });

  /** Sends events at once, or half of them after the other half where the topic's `max.message.bytes` is less than they are long. */
  async function produce(events: readonly OutgoingEvent[], partitions: number): Promise<void> {
    try {
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
      if (events.length === 1 || !codesOf(error).includes('MESSAGE_TOO_LARGE')) throw error;
      const middle = Math.ceil(events.length / 2);
      await produce(events.slice(0, middle), partitions);
      await produce(events.slice(middle), partitions);
    }
  }

  return {
    name: 'kafka',
    async send(events) {
      try {
        const metadata = await producer.metadata({ topics: [topic] });
        await produce(events, metadata.topics.get(topic)?.partitionsCount ?? 1);
      } catch (error) {
        const isTopicMissing = causesOf(error).some(({ message }) =>
          message.startsWith('Unknown topic'),
        );
        throw new DeliveryError(
          isTopicMissing
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
  const codes = causesOf(error).map((cause) => {
    const { code, apiId } = cause as { code?: unknown; apiId?: unknown };
    return [apiId, code, cause.name].find((name) => typeof name === 'string') ?? 'unknown';
  });
  return codes.length === 0 ? ['unknown'] : [...new Set(codes)];
}

/** An error, and all that it was made of. */
function causesOf(error: unknown): Error[] {
  if (!(error instanceof Error)) return [];
  const inner = error instanceof AggregateError ? (error.errors as unknown[]) : [error.cause];
  return [error, ...inner.flatMap(causesOf)];
}
