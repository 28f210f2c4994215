import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Members, toJson } from './request-builder.ts';

export type AuthWebhook = {
  readonly url: string;
  /** what it was asked since `asked` was last emptied */
  readonly asked: { headers: Record<string, string[]>; state: Record<string, unknown> }[];
  /** the headers of the questions themselves, likewise */
  readonly askedWith: http.IncomingHttpHeaders[];
  /** its answer, under HTTP status 200; undefined to give none */
  reply: Members | undefined;
  /** called while a question waits for its answer */
  onAsked: () => void;
  close(): Promise<void>;
};

/** An auth webhook on a free port that says yes until told otherwise. */
export async function startAuthWebhook(): Promise<AuthWebhook> {
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      webhook.asked.push(
        JSON.parse(Buffer.concat(chunks).toString()) as AuthWebhook['asked'][number],
      );
      webhook.askedWith.push(request.headers);
      webhook.onAsked();
      if (webhook.reply) response.end(toJson(webhook.reply));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const webhook: AuthWebhook = {
    url: `http://127.0.0.1:${port}/auth`,
    asked: [],
    askedWith: [],
    reply: { status: 200 },
    onAsked: () => undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return webhook;
}
