import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type TLSSocket, createServer } from 'node:tls';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKafkaSink } from '../../src/events/sinks/kafka.ts';
import { Secret } from '../../src/secret.ts';
import { newCertificate } from '../auth/certificates.ts';
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

  it('names the broker in the TLS handshake, by which clouds tell brokers of one address apart', async () => {
    const certificate = await newCertificate(broker.authority, {
      commonName: 'localhost',
      usage: 'serverAuth',
      altNames: [{ type: 2, value: 'localhost' }],
    });
    const server = createServer({ key: certificate.key, cert: certificate.cert });
    const connected = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    await once(server.listen(0, 'localhost'), 'listening');
    const sink = createKafkaSink({
      brokers: [`localhost:${(server.address() as AddressInfo).port}`],
      topic: 'named',
      tls: { ca: broker.authority.cert },
      sasl: undefined,
    });
    const sent = sink.send(eventsOf('named', 1), signal).catch(String);
    const [socket] = await connected;
    expect(socket.servername).toBe('localhost');
    socket.destroy();
    await expect(sent).resolves.toContain('Kafka did not take the events');
    await sink.close();
    await once(server.close(), 'close');
  });

  it('sends in pieces what is too much at once for the topic', async () => {
    await broker.createTopic('small', 1, { 'max.message.bytes': '2000' });
    const sink = createKafkaSink({
      brokers: [broker.address],
      topic: 'small',
      tls: undefined,
      sasl: undefined,
    });
    const events = eventsOf('small', 100);
    await sink.send(events, signal);
    const tooLong = { id: 'long', value: 'x'.repeat(3_000) };
    await expect(sink.send([tooLong], signal)).rejects.toThrow('MESSAGE_TOO_LARGE');
    await sink.close();
    const messages = await broker.readAll('small', events.length);
    expect(messages.map(({ key, value }) => ({ id: key, value }))).toEqual(events);
  });

  it('says that the topic is missing, also when it was there before', async () => {
    await broker.createTopic('passing');
    const sink = createKafkaSink({
      brokers: [broker.address],
      topic: 'passing',
      tls: undefined,
      sasl: undefined,
    });
    await sink.send(eventsOf('passing', 1), signal);
    await broker.deleteTopic('passing');
    await expect(sink.send(eventsOf('passing', 1), signal)).rejects.toThrow('no topic passing');
    await sink.close();
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
