import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKafkaSink } from '../../src/events/sinks/kafka.ts';
import { Secret } from '../../src/secret.ts';
import { type KafkaBroker, kafkaUser, startKafkaBroker } from '../support/kafka-broker.ts';

let broker: KafkaBroker;
beforeAll(async () => {
  broker = await startKafkaBroker();
});
afterAll(() => broker[Symbol.asyncDispose]());

const eventsOf = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    id: `${prefix}-${index}`,
    value: JSON.stringify({ id: `${prefix}-${index}`, note: '€ "quoted"' }),
  }));

const signal = new AbortController().signal;

describe('the Kafka sink', () => {
  it('produces each event with its id as key, to the partition of the CRC-32 of the key', async () => {
    await broker.createTopic('plain');
    const sink = createKafkaSink({
      brokers: ['127.0.0.1:1', broker.address],
      topic: 'plain',
      tls: undefined,
      sasl: undefined,
    });
    const events = eventsOf('plain', 40);
    await sink.send(events, signal);
    await sink.close();
    const messages = await broker.readAll('plain', events.length);
    expect(messages).toHaveLength(events.length);
    for (const { id, value } of events) {
      expect(messages).toContainEqual({ key: id, value, partition: crc32(id) % 3 });
    }
    expect(new Set(messages.map(({ partition }) => partition)).size).toBe(3);
  });

  it.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)(
    'logs in by %s over TLS, keeps the order within a partition',
    async (mechanism) => {
      const topic = `secure-${mechanism}`;
      await broker.createTopic(topic, 1);
      const sink = createKafkaSink({
        brokers: [broker.secureAddress],
        topic,
        tls: { ca: broker.authority.cert },
        sasl: {
          mechanism,
          username: kafkaUser.username,
          password: new Secret(kafkaUser.password),
        },
      });
      const events = eventsOf(mechanism, 10);
      await sink.send(events.slice(0, 5), signal);
      await sink.send(events.slice(5), signal);
      await sink.close();
      const messages = await broker.readAll(topic, events.length);
      expect(messages.map(({ key }) => key)).toEqual(events.map(({ id }) => id));
    },
  );

  it('says why it was refused, and no secret', async () => {
    const secret = 'wrong-password-8';
    const open = (topic: string, password: string, ca = broker.authority.cert) =>
      createKafkaSink({
        brokers: [broker.secureAddress],
        topic,
        tls: { ca },
        sasl: {
          mechanism: 'SCRAM-SHA-512',
          username: kafkaUser.username,
          password: new Secret(password),
        },
      });
    for (const [sink, reason] of [
      [open('plain', secret), /SASL_AUTHENTICATION_FAILED/],
      [open('nowhere', kafkaUser.password), /no topic nowhere/],
    ] as const) {
      const error = await sink.send(eventsOf('x', 1), signal).catch((thrown: unknown) => thrown);
      await sink.close();
      expect(String(error)).toMatch(reason);
      expect(String(error)).not.toContain(secret);
      expect(String(error)).not.toContain(kafkaUser.password);
    }
  });

  it('fails while the broker is gone, and delivers again once it is back', async () => {
    await broker.createTopic('outage', 1);
    const sink = createKafkaSink({
      brokers: [broker.address],
      topic: 'outage',
      tls: undefined,
      sasl: undefined,
    });
    const [first, second, third] = eventsOf('outage', 3);
    if (!first || !second || !third) throw new Error('three events were made');
    await sink.send([first], signal);
    await broker.kill();
    await expect(sink.send([second], signal)).rejects.toThrow('Kafka did not take the events');
    await broker.start();
    await expect
      .poll(() => sink.send([second, third], signal).then(() => 'delivered', String), {
        timeout: 60_000,
      })
      .toBe('delivered');
    await sink.close();
    const messages = await broker.readAll('outage', 3);
    expect(messages.map(({ key }) => key)).toEqual([first.id, second.id, third.id]);
  });
});
