import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Folder, root } from '../cli/cli.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { buildRequest, usualNow, ticketsWorth } from '../payments/request-builder.ts';
import { startTestSigner } from '../support/test-signer.ts';
import { expectOfDocument, problemsOf } from './event-document.ts';
import { lint } from './lint.ts';

const file = join(root, 'docs/asyncapi.json');

const paymentTypes = ['lv2v', 'live', 'fixed', ''];

it('docs/asyncapi.json has nothing that the linter minds, who minds an action that there is not', async () => {
  using folder = new Folder();
  expect(await lint(file)).toMatchObject({ errors: 0, warnings: 0, ignored: 0 });
  const wrong = readFileSync(file, 'utf8').replace('"action": "send"', '"action": "throw"');
  expect(await lint(folder.write('wrong.json', wrong))).toMatchObject({ errors: 1 });
});

it.each(['go-livepeer', 'livepeer-node'] as const)(
  'events of every payment type are of the document: profile %s',
  async (profile) => {
    using folder = new Folder();
    const audit = join(folder.path, 'audit');
    const signer = await startTestSigner({
      settings: {
        audit: { path: audit },
        events: { profile, gateway: 'here', file: { path: join(folder.path, 'events.jsonl') } },
      },
    });
    signer.now = usualNow;
    const first = (type: string): Promise<string> =>
      buildRequest({
        body: { type, app: 'live/echo', ...(type === '' && { inPixels: 1 }) },
        state: null,
        ticketParams: ticketsWorth(10n ** 12n),
      });
    const bodies = [await buildRequest(), ...(await Promise.all(paymentTypes.map(first)))];
    for (const body of bodies) expect((await signer.post(body)).status).toBe(200);
    await signer.close();
    // the log is the outbox: these bytes are what is delivered
    const events = readRecords(audit).flatMap(({ event }) =>
      event === undefined ? [] : [event as string],
    );
    expect(events).toHaveLength(bodies.length);
    for (const event of events) {
      expectOfDocument(profile, event);
      expect(problemsOf(profile, event.replace('"computed_fee"', '"fee"'))).not.toEqual([]);
      const other = profile === 'go-livepeer' ? 'livepeer-node' : 'go-livepeer';
      expect(problemsOf(other, event)).not.toEqual([]);
    }
  },
);
