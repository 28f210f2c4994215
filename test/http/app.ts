import { once } from 'node:events';
import net from 'node:net';
import { pino } from 'pino';
import { type HttpServer, type ListenOptions, listen } from '../../src/http/listen.ts';
import { type HttpServerOptions, createHttpApp } from '../../src/http/server.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createAuthenticator } from '../../src/auth/authenticator.ts';
import { createCallerIdentifier } from '../../src/auth/caller.ts';

export type TestApp = HttpServer & {
  readonly port: number;
  readonly logLines: Record<string, unknown>[];
};

const orchestratorInfo = { address: '0xAb', signature: '0xcd' };

/** The HTTP edge alone, on a free port, over a use case of the test's own. */
export async function startApp(
  generateLivePayment: HttpServerOptions['generateLivePayment'],
  options: Partial<ListenOptions> &
    Partial<
      Pick<
        HttpServerOptions,
        'bodyLimitBytes' | 'requestDeadlineMs' | 'maxRequestsInWork' | 'corsOrigins'
      >
    > = {},
): Promise<TestApp> {
  const {
    bodyLimitBytes = 65_536,
    requestDeadlineMs = 4_500,
    maxRequestsInWork = 4_096,
    corsOrigins = [],
    ...listenOptions
  } = options;
  const logLines: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'info' },
    { write: (line: string) => void logLines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const app = createHttpApp({
    orchestratorInfo: () => Promise.resolve(orchestratorInfo),
    generateLivePayment,
    identifyCaller: createCallerIdentifier({
      authenticate: createAuthenticator([]),
      trustedProxies: [],
    }),
    protectOrchestratorInfo: false,
    discovery: undefined,
    signByocJob: undefined,
    logger,
    corsOrigins,
    bodyLimitBytes,
    requestDeadlineMs,
    maxRequestsInWork,
    metrics: createMetrics(),
    isReady: () => Promise.resolve(true),
  });
  const server = await listen(app, {
    setting: 'server.listen',
    host: '127.0.0.1',
    port: 0,
    tls: undefined,
    headersTimeoutMs: 5_000,
    receiveTimeoutMs: 10_000,
    answerTimeoutMs: 10_000,
    keepAliveTimeoutMs: 60_000,
    maxIdleConnections: 100,
    ...listenOptions,
  });
  return { ...server, port: Number(new URL(server.url).port), logLines };
}

/** Sends bytes as they are and gives what comes back until the server closes the connection. */
export async function exchange(port: number, ...parts: readonly (string | Uint8Array)[]) {
  const socket = net.connect(port, '127.0.0.1');
  socket.setTimeout(20_000, () => socket.destroy(new Error('the server kept the connection')));
  for (const part of parts) socket.write(part);
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  await once(socket, 'close');
  return text;
}

/** Statuses of the answers in what {@link exchange} gave. */
export function statusesIn(text: string): number[] {
  return [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
}

export const envelope = (message: string): string => `${JSON.stringify({ error: { message } })}\n`;
