import type * as RedisModule from '@redis/client';
import type { Secret } from '../secret.ts';

export type HostAndPort = { readonly host: string; readonly port: number };

/** `HOST:PORT`, which tells servers from each other. */
export function addressOf({ host, port }: HostAndPort): string {
  return `${host}:${port}`;
}

/** Of an ACL user; without a name it is the default user's password. */
export type RedisLogin = {
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
};

/** In PEM. */
export type RedisTls = {
  /** who vouches for the server; the system's own where it is left out */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** the name in the server's certificate, where it is another than the host's */
  readonly serverName?: string | undefined;
};

/** Where a connection goes, and how it is let in. */
export type RedisEndpoint = {
  readonly at: HostAndPort | { readonly url: string };
  readonly login: RedisLogin | undefined;
  readonly tls: RedisTls | undefined;
};

export type RedisClient = ReturnType<typeof RedisModule.createClient>;
export type CreateClient = (endpoint: RedisEndpoint) => Promise<RedisClient>;

export const connectTimeoutMs = 2_000;
/** Commands that may wait for their answers. */
const maxWaiting = 10_000;

/**
 * Clients are duplicates of this one: for every other client the library builds a class of some hundred methods anew, which takes
 * tens of milliseconds of CPU time.
 */
let template: Promise<RedisClient> | undefined;

async function createTemplate(): Promise<RedisClient> {
  const { createClient } = await import('@redis/client');
  return createClient({
    RESP: 2,
    maintNotifications: 'disabled',
    disableClientInfo: true,
    disableOfflineQueue: true,
    commandsQueueMaxLength: maxWaiting,
    commandOptions: { timeout: 0 },
  });
}

/**
 * A client of one connection: it connects once, sends nothing twice and keeps nothing for later. The library's own clients for
 * Sentinel and Cluster send a command again when its connection ends, and so would count a payment twice; nor do they promise
 * that a command and the `WAIT` after it go to the same server.
 */
export async function createSingleClient({ at, login, tls }: RedisEndpoint): Promise<RedisClient> {
  template ??= createTemplate();
  const socket = { connectTimeout: connectTimeoutMs, reconnectStrategy: false } as const;
  const secured = tls && {
    tls: true as const,
    ...(tls.ca !== undefined && { ca: tls.ca }),
    ...(tls.cert !== undefined && { cert: tls.cert }),
    ...(tls.key !== undefined && { key: tls.key }),
    ...(tls.serverName !== undefined && { servername: tls.serverName }),
  };
  const place = 'url' in at ? {} : { host: at.host, port: at.port };
  return (await template).duplicate({
    ...('url' in at && { url: at.url }),
    ...(login?.username !== undefined && { username: login.username }),
    ...(login?.password !== undefined && { password: login.password.reveal() }),
    socket: { ...socket, ...place, ...secured },
  });
}
