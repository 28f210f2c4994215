import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Config } from '../config/load.ts';
import { readTextFile } from '../config/read-text-file.ts';
import { readSecret } from '../config/secrets.ts';
import { ConfigError } from '../errors.ts';
import type { Delivery } from '../events/delivery.ts';
import type { EventSink } from '../events/sink.ts';
import type { EventEncoder } from '../payments/payment-event.ts';
import type { Logger } from '../telemetry/logger.ts';
import { readHeaders } from './headers.ts';

type EventSettings = NonNullable<Config['settings']['events']>;

/** What payments need of events. */
export type Events = {
  readonly encode: EventEncoder;
  /** Throws `EVENTS_UNAVAILABLE` while too much waits for delivery. */
  checkHealth(): Promise<void>;
  close(): void;
};

/**
 * Opens the events for payments of the process that writes this chain of the audit log; undefined where no events are configured.
 */
export async function openEvents(
  { settings: { events, audit }, resolvePath }: Config,
  chain: string,
): Promise<Events | undefined> {
  if (!events || !audit) return undefined;
  const [{ watchBacklogLimit }, { encodePaymentEvent }] = await Promise.all([
    import('../events/backlog-limit.ts'),
    import('../payments/payment-event.ts'),
  ]);
  const { profile, gateway } = events;
  const auditFolder = resolvePath(audit.path);
  const backlogLimit = watchBacklogLimit({
    auditFolder,
    chainFolder: join(auditFolder, chain),
    sinks: sinkNames(events),
    maxBytes: events.maxPendingBytes,
  });
  return {
    encode(record, amounts) {
      backlogLimit.require();
      return encodePaymentEvent(record, { ...amounts, profile, gateway });
    },
    checkHealth: () => Promise.resolve().then(() => backlogLimit.require()),
    close: () => backlogLimit.close(),
  };
}

/**
 * Starts to deliver the events of all chains of the audit log; one process of an instance does this. Throws `CONFIG_INVALID` and
 * `SECRET_UNREADABLE`.
 */
export async function startDeliveries(
  config: Config,
  logger: Logger,
): Promise<readonly Delivery[]> {
  const { events, audit } = config.settings;
  if (!events || !audit) return [];
  const { startDelivery } = await import('../events/delivery.ts');
  const auditFolder = config.resolvePath(audit.path);
  const deliveries: Delivery[] = [];
  for (const sink of await openSinks(events, config.resolvePath)) {
    deliveries.push(
      await startDelivery({
        auditFolder,
        sink,
        log: (level, message, fields) => logger[level](fields, message),
        nowMs: () => Date.now(),
      }),
    );
  }
  return deliveries;
}

function sinkNames({ kafka, webhook, file }: EventSettings): EventSink['name'][] {
  return [kafka && 'kafka', webhook && 'webhook', file && 'file'].filter(
    (name) => name !== undefined,
  ) as EventSink['name'][];
}

async function openSinks(
  { kafka, webhook, file }: EventSettings,
  resolvePath: Config['resolvePath'],
): Promise<EventSink[]> {
  const setting = 'events.kafka.sasl.password';
  const secrets = { setting, resolvePath, createMissingFiles: false };
  const sinks: EventSink[] = [];
  if (kafka) {
    const { createKafkaSink } = await import('../events/sinks/kafka.ts');
    const { brokers, topic, tls, sasl } = kafka;
    sinks.push(
      createKafkaSink({
        brokers,
        topic,
        tls: tls && { ca: tls.ca === undefined ? undefined : readPem(resolvePath(tls.ca)) },
        sasl: sasl && { ...sasl, password: readSecret(sasl.password, secrets) },
      }),
    );
  }
  if (webhook) {
    const { createWebhookSink } = await import('../events/sinks/webhook.ts');
    const headers = readHeaders(webhook.headers, resolvePath, 'events.webhook.headers');
    sinks.push(createWebhookSink({ ...webhook, headers }));
  }
  if (file) {
    const { createFileSink } = await import('../events/sinks/file.ts');
    sinks.push(createFileSink({ path: resolvePath(file.path) }));
  }
  return sinks;
}

/** Reads a file of certificates, PEM. Throws `CONFIG_INVALID`. */
export function readPem(path: string): string {
  const text = readTextFile(path, 'certificate file');
  try {
    createSecureContext({ ca: text });
  } catch {
    throw new ConfigError(
      'CONFIG_INVALID',
      `events.kafka.tls.ca: ${path} holds no certificate in PEM`,
    );
  }
  return text;
}
