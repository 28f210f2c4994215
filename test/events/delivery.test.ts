import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createFileSink } from '../../src/events/sinks/file.ts';
import { expectOfDocument } from '../api/event-document.ts';
import { SmallDisk } from '../audit/small-disk.ts';
import { PayingSession } from '../bench/paying-session.ts';
import { Cli, Folder, devConfig } from '../cli/cli.ts';
import { soon } from '../support/soon.ts';

/** A webhook that takes events, or refuses them all. */
type Inbox = {
  readonly url: string;
  /** bodies in the order in which they came */
  readonly bodies: string[];
  readonly headers: http.IncomingHttpHeaders[];
  isTaking: boolean;
  close(): Promise<void>;
};

async function openInbox(): Promise<Inbox> {
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.writeHead(inbox.isTaking ? 204 : 503).end();
      if (!inbox.isTaking) return;
      inbox.bodies.push(Buffer.concat(chunks).toString());
      inbox.headers.push(request.headers);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const inbox: Inbox = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`,
    bodies: [],
    headers: [],
    isTaking: true,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return inbox;
}

type Event = {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly gateway: string;
  readonly data: Readonly<Record<string, unknown>>;
};

const parse = (body: string): Event => JSON.parse(body) as Event;

const closing: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of closing.splice(0).toReversed()) await one.close();
});

/** A folder that is there until the processes that write into it have ended. */
function folderOf(): Folder {
  const folder = new Folder();
  closing.push({ close: () => Promise.resolve().then(() => folder[Symbol.dispose]()) });
  return folder;
}

async function inboxOf(): Promise<Inbox> {
  const inbox = await openInbox();
  closing.push(inbox);
  return inbox;
}

type Serving = { readonly url: string; readonly cli: Cli };

async function serve(
  folder: Folder,
  events: object,
  workers = 1,
  more: object = {},
): Promise<Serving> {
  const sections = {
    server: { listen: '127.0.0.1:0', workers },
    audit: { path: 'audit', maxFileBytes: 65_536 },
    events,
    ...more,
  };
  const lines = Object.entries(sections).map(
    ([name, value]) => `${name}: ${JSON.stringify(value)}`,
  );
  const config = folder.write('signer.yaml', `${devConfig}${lines.join('\n')}\n`);
  const cli = new Cli(['serve', '--config', config]);
  closing.push({
    close: async () => {
      if (cli.child.signalCode !== null) return;
      cli.child.kill('SIGKILL');
      await cli.ended();
    },
  });
  return { cli, url: await cli.listening() };
}

/** Pays and gives the request ids of the payments that were answered. */
async function pay(url: string, session: PayingSession, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let payment = 0; payment < count; payment += 1) {
    const response = await fetch(`${url}/generate-live-payment`, {
      method: 'POST',
      body: session.request(),
    });
    const text = await response.text();
    expect({ status: response.status, text }).toMatchObject({ status: 200 });
    session.take(text);
    ids.push(response.headers.get('x-request-id') ?? '');
  }
  return ids;
}

const upstreamKeys = [
  ...['app', 'auth_id', 'billable_secs', 'computed_fee', 'cost', 'current_time'],
  ...['current_time_unix', 'manifest_id', 'num_tickets', 'orch_address', 'orch_url', 'pipeline'],
  ...['pixels', 'pm_session_id', 'previous_time', 'previous_time_unix', 'request_id'],
  ...['sequence_number', 'session_balance', 'session_id', 'session_status'],
];

describe('events', () => {
  it('tell of each payment in go-livepeer’s envelope and 21 keys, in a file and at a webhook', async () => {
    const folder = folderOf();
    const inbox = await inboxOf();
    const webhook = { url: inbox.url, headers: { 'X-Source': 'signer-7' } };
    const { url } = await serve(folder, { gateway: 'gw-1', webhook, file: { path: 'out.jsonl' } });
    const ids = await pay(url, new PayingSession(2), 5);
    await soon(() => expect(inbox.bodies).toHaveLength(5));
    await soon(() => {
      const lines = readFileSync(join(folder.path, 'out.jsonl'), 'utf8').split('\n').slice(0, -1);
      expect(lines).toEqual(inbox.bodies);
    });
    const events = inbox.bodies.map(parse);
    expect(events.map(({ data }) => data['request_id'])).toEqual(ids);
    for (const body of inbox.bodies) expectOfDocument('go-livepeer', body);
    for (const [index, event] of events.entries()) {
      expect(Object.keys(event)).toEqual(['id', 'type', 'timestamp', 'gateway', 'data']);
      expect(event.id).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      expect(event).toMatchObject({ type: 'create_signed_ticket', gateway: 'gw-1' });
      expect(event.timestamp).toBe(String(event.data['current_time_unix']));
      expect(Object.keys(event.data)).toEqual(upstreamKeys);
      expect(event.data).toMatchObject({ num_tickets: 2, sequence_number: index });
      expect(inbox.headers[index]).toMatchObject({
        'idempotency-key': event.id,
        'x-source': 'signer-7',
      });
    }
  });

  it.each([
    ['with a rate', { prices: { feed: { weiPerUsd: '1000000000000000000/3200' } } }, 'text'],
    ['without one', {}, 'null'],
  ])(
    'have payer and fee in USD too, for livepeer/node’s consumers: %s',
    async (_case, more, fee) => {
      const folder = folderOf();
      const inbox = await inboxOf();
      const events = { profile: 'livepeer-node', webhook: { url: inbox.url } };
      const { url, cli } = await serve(folder, events, 1, more);
      await pay(url, new PayingSession(1), 1);
      await soon(() => expect(inbox.bodies).toHaveLength(1));
      expectOfDocument('livepeer-node', inbox.bodies[0] ?? '');
      const { data } = parse(inbox.bodies[0] ?? '');
      expect(Object.keys(data)).toEqual([...upstreamKeys, 'payer_address', 'computed_fee_usd']);
      expect(cli.stdout).toContain(`as ${String(data['payer_address'])}\n`);
      if (fee === 'null') expect(data['computed_fee_usd']).toBeNull();
      else {
        // whole wei, so exact in 18 places
        const digits = (BigInt(String(data['computed_fee'])) * 3_200n).toString().padStart(19, '0');
        const usd = `${digits.slice(0, -18)}.${digits.slice(-18)}`.replace(/\.?0+$/, '');
        expect(data['computed_fee_usd']).toBe(usd);
      }
    },
  );

  it('all arrive after outages and kills, also of workers that are no more; repeats are the same bytes', async () => {
    const folder = folderOf();
    const inbox = await inboxOf();
    const events = { webhook: { url: inbox.url } };
    const sessions = Array.from({ length: 4 }, () => new PayingSession(1));
    const paid: string[] = [];
    const payAll = async (url: string, count: number): Promise<void> => {
      paid.push(...(await Promise.all(sessions.map((session) => pay(url, session, count)))).flat());
    };

    const before = await serve(folder, events, 2);
    await payAll(before.url, 3);
    inbox.isTaking = false;
    await payAll(before.url, 10);
    before.cli.child.kill('SIGKILL');
    await before.cli.ended();

    // the primary is gone with its delivery, and its workers with it
    const between = await serve(folder, events);
    await payAll(between.url, 10);
    inbox.isTaking = true;
    await soon(() => expect(inbox.bodies.length).toBeGreaterThan(60));
    between.cli.child.kill('SIGKILL');
    await between.cli.ended();

    const after = await serve(folder, events);
    await payAll(after.url, 2);
    await soon(() => {
      const told = new Set(inbox.bodies.map((body) => parse(body).data['request_id']));
      expect(paid.filter((id) => !told.has(id))).toEqual([]);
    });
    const bodiesById = new Map<string, Set<string>>();
    for (const body of inbox.bodies) {
      const { id } = parse(body);
      bodiesById.set(id, (bodiesById.get(id) ?? new Set()).add(body));
    }
    expect([...bodiesById.values()].filter(({ size }) => size > 1)).toEqual([]);
    expect(bodiesById.size).toBe(paid.length);
  });

  it('keep a session’s order at a single worker, over files that end', async () => {
    const folder = folderOf();
    const inbox = await inboxOf();
    const { url } = await serve(folder, { webhook: { url: inbox.url } });
    await pay(url, new PayingSession(1), 60);
    await soon(() => expect(inbox.bodies).toHaveLength(60));
    const order = inbox.bodies.map((body) => parse(body).data['sequence_number']);
    expect(order).toEqual(Array.from({ length: 60 }, (_, index) => index));
  });

  it.each([1, 2])('are all delivered before a stop ends, with %i processes', async (workers) => {
    const folder = folderOf();
    const { cli, url } = await serve(folder, { file: { path: 'out.jsonl' } }, workers);
    const ids = await pay(url, new PayingSession(1), 40);
    cli.child.kill('SIGTERM');
    expect(await cli.ended()).toMatchObject({ status: 0 });
    const lines = readFileSync(join(folder.path, 'out.jsonl'), 'utf8').split('\n').slice(0, -1);
    const told = lines.map((line) => String(parse(line).data['request_id']));
    expect(told.toSorted()).toEqual(ids.toSorted());
  });

  it('are left to the next start when nobody answers at a stop, which is no failure', async () => {
    const folder = folderOf();
    const asked = Promise.withResolvers<undefined>();
    const mute = net.createServer((socket) => {
      socket.on('error', () => undefined).on('data', () => asked.resolve(undefined));
    });
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    closing.push({ close: () => new Promise((resolve) => mute.close(resolve)) });
    const broker = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const before = await serve(folder, { kafka: { brokers: [broker], topic: 'payments' } });
    const ids = await pay(before.url, new PayingSession(1), 1);
    await asked.promise;
    before.cli.child.kill('SIGTERM');
    const { status, stderr } = await before.cli.ended();
    expect(status).toBe(0);
    expect(stderr).toContain('"msg":"events wait in the audit log for the next start"');
    expect(stderr).not.toContain('"level":40');

    const inbox = await inboxOf();
    await serve(folder, { webhook: { url: inbox.url } });
    await soon(() => expect(inbox.bodies).toHaveLength(1));
    expect(inbox.bodies.map((body) => parse(body).data['request_id'])).toEqual(ids);
  });

  it('stop payments with 503 when too many wait, and let them go on once they are delivered', async () => {
    const folder = folderOf();
    const inbox = await inboxOf();
    inbox.isTaking = false;
    const { url, cli } = await serve(folder, {
      maxPendingBytes: 1_048_576,
      webhook: { url: inbox.url },
    });
    const session = new PayingSession(60);
    const statusOfPayment = async (): Promise<number> => {
      const response = await fetch(`${url}/generate-live-payment`, {
        method: 'POST',
        body: session.request(),
      });
      const text = await response.text();
      if (response.status === 200) session.take(text);
      return response.status;
    };
    let paid = 0;
    for (; ; paid += 1) {
      const status = await statusOfPayment();
      if (status === 200) continue;
      expect(status).toBe(503);
      break;
    }
    const ready = await fetch(`${await cli.adminListening()}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({
      parts: { events: { ready: false, code: 'EVENTS_UNAVAILABLE' } },
    });
    inbox.isTaking = true;
    await soon(async () => expect(await statusOfPayment()).toBe(200));
    await soon(() => expect(inbox.bodies).toHaveLength(paid + 1));
  });
});

/** The request ids of the events in a file; each line of it must be an event. */
function toldIn(path: string): unknown[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => parse(line).data['request_id']);
}

async function stop({ cli }: Serving): Promise<void> {
  cli.child.kill('SIGTERM');
  expect(await cli.ended()).toMatchObject({ status: 0 });
}

/** Writes the files of a chain that is no more, each with 30 events and about 64 kB, and gives the ids of the events. */
function writeChain(folder: Folder, name: string, files: readonly number[]): string[] {
  const path = join(folder.path, 'audit', name);
  mkdirSync(path, { recursive: true });
  return files.flatMap((file) => {
    const ids = Array.from({ length: 30 }, (_, index) => `${name}-${file}-${index}`);
    const lines = ids.map((id) =>
      JSON.stringify({
        time: new Date().toISOString(),
        more: 'x'.repeat(2_000),
        event: JSON.stringify({ id, data: { request_id: id } }),
        hash: 'a'.repeat(64),
      }),
    );
    const number = String(file).padStart(6, '0');
    writeFileSync(join(path, `${number}.jsonl`), `${lines.join('\n')}\n`);
    return ids;
  });
}

describe('the events of an audit log whose files were moved', () => {
  it('don’t keep a stop waiting while a long log without any is read', async () => {
    const folder = folderOf();
    const path = join(folder.path, 'audit/long');
    mkdirSync(path, { recursive: true });
    for (let file = 1; file <= 3_000; file += 1) {
      const line = `{"kind":"denied","hash":"${'a'.repeat(64)}"}\n`;
      writeFileSync(join(path, `${String(file).padStart(6, '0')}.jsonl`), line);
    }
    const { cli } = await serve(folder, { file: { path: 'out.jsonl' } });
    const stoppedAtMs = performance.now();
    cli.child.kill('SIGTERM');
    const { status, stderr } = await cli.ended();
    expect(status).toBe(0);
    expect(stderr).toContain('"msg":"events wait in the audit log for the next start"');
    expect(performance.now() - stoppedAtMs).toBeLessThan(10_000);
  });

  it('are not held up by a chain that has a gap, however many files there are', async () => {
    const folder = folderOf();
    writeChain(folder, 'broken', [3]);
    const ids = writeChain(folder, 'broken', [1]);
    ids.push(
      ...writeChain(
        folder,
        'long',
        Array.from({ length: 250 }, (_, index) => index + 1),
      ),
    );
    const path = join(folder.path, 'out.jsonl');
    const { cli } = await serve(folder, { file: { path: 'out.jsonl' } });
    await soon(() => expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(ids.length + 1));
    expect(toldIn(path).toSorted()).toEqual(ids.toSorted());
    expect(cli.stderr).toContain('000002.jsonl: ENOENT');
  });

  it('are all sent of a chain that begins in the place of one that was put aside', async () => {
    const folder = folderOf();
    const inbox = await inboxOf();
    const events = { webhook: { url: inbox.url } };
    const before = await serve(folder, events);
    // more than a file of the audit log
    const ids = await pay(before.url, new PayingSession(1), 40);
    await stop(before);
    renameSync(join(folder.path, 'audit/server-1'), join(folder.path, 'evidence'));

    const after = await serve(folder, events);
    ids.push(...(await pay(after.url, new PayingSession(1), 3)));
    await soon(() => expect(inbox.bodies).toHaveLength(43));
    expect(inbox.bodies.map((body) => parse(body).data['request_id'])).toEqual(ids);
    const lines = after.cli.stderr.split('\n').filter((line) => line.includes('"sink":'));
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ level: 40, sink: 'webhook', chain: 'server-1' }),
    ]);
    expect(lines[0]).toContain('a chain of the audit log was replaced by another');
    // and no second time
    await stop(after);
    await stop(await serve(folder, events));
    expect(inbox.bodies).toHaveLength(43);
  });

  it('are all that is left for a sink that is new after files were archived', async () => {
    const folder = folderOf();
    const before = await serve(folder, { file: { path: 'before.jsonl' } });
    const ids = await pay(before.url, new PayingSession(1), 60);
    await stop(before);
    const [first] = readFileSync(join(folder.path, 'audit/server-1/000002.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"event":'));
    const event = (JSON.parse(first ?? '') as { event: string }).event;
    rmSync(join(folder.path, 'audit/server-1/000001.jsonl'));

    const inbox = await inboxOf();
    const after = await serve(folder, { webhook: { url: inbox.url } });
    ids.push(...(await pay(after.url, new PayingSession(1), 1)));
    const archived = ids.indexOf(String(parse(event).data['request_id']));
    expect(archived).toBeGreaterThan(0);
    const told = () => inbox.bodies.map((body) => parse(body).data['request_id']);
    await soon(() => expect(told()).toEqual(ids.slice(archived)));
  });

  it('are kept back by no other chain that can’t be read', async () => {
    const folder = folderOf();
    const inbox = await inboxOf();
    const cutOff = join(folder.path, 'audit/server-0/000001.jsonl');
    const hash = '0'.repeat(64);
    for (const name of ['delivered', 'server-0']) {
      mkdirSync(join(folder.path, 'audit', name), { recursive: true });
    }
    writeFileSync(cutOff, `{"seq":1,"hash":"${hash}"}\n`);
    writeFileSync(
      join(folder.path, 'audit/delivered/webhook.json'),
      JSON.stringify({ 'server-0': { file: 1, offset: 70_000, began: hash } }),
    );
    const { cli, url } = await serve(folder, { webhook: { url: inbox.url } });
    const ids = await pay(url, new PayingSession(1), 2);
    await soon(() => expect(inbox.bodies).toHaveLength(2));
    expect(inbox.bodies.map((body) => parse(body).data['request_id'])).toEqual(ids);
    await soon(() => expect(cli.stderr).toContain(`"reason":"${cutOff} is shorter than it was"`));
  });
});

describe('the file of events', () => {
  it('has nothing but whole events after its disk was full', async () => {
    const folder = folderOf();
    using disk = new SmallDisk(256);
    const path = join(disk.path, 'events.jsonl');
    const serving = await serve(folder, { file: { path } });
    const session = new PayingSession(1);
    const ids = await pay(serving.url, session, 1);
    await soon(() => expect(toldIn(path)).toEqual(ids));
    disk.fill(0);
    // more than what is left of the page that the file ends in
    ids.push(...(await pay(serving.url, session, 10)));
    const { cli } = serving;
    await soon(() => expect(cli.stderr).toContain(`"reason":"${path}: ENOSPC"`));
    expect(toldIn(path)).toEqual(ids.slice(0, 1));
    disk.makeRoom();
    await soon(() => expect(toldIn(path)).toEqual(ids));
    await stop(serving);
  });

  it('goes on in a new line where a crash has torn the last one', async () => {
    using folder = new Folder();
    const path = folder.write('events.jsonl', '{"id":"1"}\n{"id":');
    const sink = createFileSink({ path });
    for (const id of ['2', '3']) {
      await sink.send([{ id, value: `{"id":"${id}"}` }], new AbortController().signal);
    }
    expect(readFileSync(path, 'utf8')).toBe('{"id":"1"}\n{"id":\n{"id":"2"}\n{"id":"3"}\n');
  });
});
