import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Admin, Consumer, stringDeserializers } from '@platformatic/kafka';
import { type Certificate, newAuthority, newCertificate } from '../auth/certificates.ts';
import { soon } from './soon.ts';

const classPath = fileURLToPath(new URL('../kafka/lib/*', import.meta.url));
const startTimeoutMs = 120_000;

/** Who may log in, by PLAIN and by SCRAM. */
export const kafkaUser = { username: 'signer', password: 'kafka-secret-7' } as const;

export type KafkaMessage = {
  readonly key: string;
  readonly value: string;
  readonly partition: number;
};

/** A real broker of one node (KRaft), which keeps its log from one start to the next. */
export type KafkaBroker = AsyncDisposable & {
  /** without TLS and log-in */
  readonly address: string;
  /** TLS with the authority's certificate, and log-in by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 */
  readonly secureAddress: string;
  readonly authority: Certificate;
  /** Makes a topic that takes messages at once; three partitions unless told otherwise. `settings` are the topic's own. */
  createTopic(
    name: string,
    partitions?: number,
    settings?: Readonly<Record<string, string>>,
  ): Promise<void>;
  deleteTopic(name: string): Promise<void>;
  /** All messages of a topic, partition by partition. */
  readAll(topic: string, count: number): Promise<KafkaMessage[]>;
  /** Messages of a topic from its beginning, until one of them is the last that is wanted. */
  readUntil(topic: string, isLast: (message: KafkaMessage) => boolean): Promise<KafkaMessage[]>;
  /** Ends it with SIGKILL: a cluster that is gone. */
  kill(): Promise<void>;
  start(): Promise<void>;
};

/** Starts a broker on ports of its own. */
export async function startKafkaBroker(): Promise<KafkaBroker> {
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-kafka-'));
  const [port = 0, securePort = 0, controllerPort = 0] = await freePorts(3);
  const authority = await newAuthority('Test Authority');
  const certificate = await newCertificate(authority, {
    commonName: 'localhost',
    usage: 'serverAuth',
    altNames: [{ type: 7, ip: '127.0.0.1' }],
  });
  const pem = ({ cert, key }: Certificate) => ({
    cert: cert.trim().replaceAll(/\r?\n/g, '\\n'),
    key: key.trim().replaceAll(/\r?\n/g, '\\n'),
  });
  const jaas = `org.apache.kafka.common.security`;
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},SASL_SSL://127.0.0.1:${securePort},CONTROLLER://127.0.0.1:${controllerPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(folder, 'log'),
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': `${jaas}.plain.PlainLoginModule required user_${kafkaUser.username}="${kafkaUser.password}";`,
    'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': `${jaas}.scram.ScramLoginModule required;`,
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': `${jaas}.scram.ScramLoginModule required;`,
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.certificate.chain': pem(certificate).cert,
    'ssl.keystore.key': pem(certificate).key,
  };
  const properties = join(folder, 'server.properties');
  await writeFile(
    properties,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  const credentials = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${kafkaUser.username},password=${kafkaUser.password}]`,
  ]);
  java('kafka.tools.StorageTool', [
    ...['format', '--config', properties, '--cluster-id', 'bGl2ZXBlZXItaHNtLXNnbg'],
    ...credentials,
  ]);
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const started = spawn('java', [...heap, '-cp', classPath, 'kafka.Kafka', properties], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: folder,
    });
    child = started;
    let output = '';
    const take = (chunk: Buffer): void => void (output += chunk.toString());
    started.stdout.on('data', take);
    started.stderr.on('data', take);
    const deadline = performance.now() + startTimeoutMs;
    while (!(await isListening(port)) || !(await isListening(securePort))) {
      const hasEnded = started.exitCode !== null || started.signalCode !== null;
      if (hasEnded || performance.now() > deadline) {
        throw new Error(`the broker did not start:\n${output}`);
      }
      await sleep(100);
    }
  }

  async function kill(): Promise<void> {
    const running = child;
    child = undefined;
    if (running?.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
  }

  async function readUntil(
    topic: string,
    isLast: (message: KafkaMessage) => boolean,
  ): Promise<KafkaMessage[]> {
    const consumer = new Consumer({
      clientId: 'test',
      groupId: `test-${topic}`,
      bootstrapBrokers: [`127.0.0.1:${port}`],
      deserializers: stringDeserializers,
    });
    const messages: KafkaMessage[] = [];
    // the consumer may fetch what it has given already once more
    const read = new Set<string>();
    const stream = await consumer.consume({ topics: [topic], mode: 'earliest' });
    for await (const { key, value, partition, offset } of stream) {
      if (read.has(`${partition}/${offset}`)) continue;
      read.add(`${partition}/${offset}`);
      const message = { key, value, partition };
      messages.push(message);
      if (isLast(message)) break;
    }
    await consumer.close(true);
    return messages;
  }

  const openAdmin = (): Admin =>
    new Admin({ clientId: 'test', bootstrapBrokers: [`127.0.0.1:${port}`], retries: 0 });

  await start();
  return {
    address: `127.0.0.1:${port}`,
    secureAddress: `127.0.0.1:${securePort}`,
    authority,
    async createTopic(name, partitions = 3, settings = {}) {
      const admin = openAdmin();
      const configs = Object.entries(settings).map(([key, value]) => ({ name: key, value }));
      await admin.createTopics({ topics: [name], partitions, replicas: 1, configs });
      // the controller answers before the broker leads the partitions
      const all = Array.from({ length: partitions }, (_, partitionIndex) => ({
        partitionIndex,
        timestamp: 0n,
      }));
      await soon(() => admin.listOffsets({ topics: [{ name, partitions: all }] }));
      await admin.close();
    },
    async deleteTopic(name) {
      const admin = openAdmin();
      await admin.deleteTopics({ topics: [name] });
      await admin.close();
    },
    readUntil,
    readAll(topic, count) {
      let left = count;
      return readUntil(topic, () => (left -= 1) <= 0);
    },
    kill,
    start,
    async [Symbol.asyncDispose]() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const heap = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

function java(main: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync('java', [...heap, '-cp', classPath, main, ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${main} failed:\n${stdout}${stderr}`);
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
