import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import { Folder, run } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { soon } from '../support/soon.ts';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';

const policy = `default: allow
rules:
  - id: hourly-tickets
    window: { per: tenant, every: 1h, tickets: 39 }
`;

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
);

/** A folder for pictures of what each test ended with, to look at. */
const { SCREENSHOTS: screenshots } = process.env;

let browser: Browser;
const closing: { close(): Promise<void> }[] = [];
const folder = new Folder();

beforeAll(async () => {
  const args = ['--no-sandbox'];
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args });
});
afterEach(async ({ task: { name } }) => {
  if (screenshots !== undefined) {
    const pages = browser.contexts().flatMap((context) => context.pages());
    for (const [index, page] of pages.entries()) {
      const path = join(screenshots, `${name.replaceAll(/\W+/g, '-')}-${index}.png`);
      await page.screenshot({ path, fullPage: true });
    }
  }
  for (const each of closing.splice(0).reverse()) await each.close();
});
afterAll(async () => {
  await browser.close();
  folder[Symbol.dispose]();
});

let signers = 0;

type Signer = TestSigner & { readonly audit: string; key: TestSigner['key'] };

async function start(
  settings: Record<string, unknown> = {},
  options: Parameters<typeof startTestSigner>[0] = {},
): Promise<Signer> {
  signers += 1;
  const audit = join(folder.path, `audit-${signers}`);
  const spending = join(folder.path, `spending-${signers}`);
  const signer = await startTestSigner({
    ...options,
    settings: {
      audit: { path: audit },
      policy: { file: folder.write(`policy-${signers}.yaml`, policy) },
      store: { kind: 'embedded', path: spending, answersMaxBytes: 0 },
      ...settings,
    },
  });
  closing.push(signer);
  return Object.assign(signer, { audit });
}

/** What the browser complained of, and which hosts it asked. */
type Watched = { readonly page: Page; readonly complaints: string[]; readonly hosts: Set<string> };

async function open(
  { adminUrl }: TestSigner,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<Watched> {
  const context = await browser.newContext(options);
  closing.push(context);
  const page = await context.newPage();
  const complaints: string[] = [];
  const hosts = new Set<string>();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => hosts.add(new URL(request.url()).host));
  await page.goto(`${adminUrl}/`);
  return { page, complaints, hosts };
}

const textOf = (page: Page): Promise<string> => page.locator('body').innerText();

/** Of axe's findings those that keep somebody from using the page. */
async function findSeriousFaults(page: Page): Promise<unknown[]> {
  // not as a script of the page: its own policy would refuse that
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: unknown[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => ({ id, nodes: JSON.stringify(nodes).slice(0, 500) }));
  });
}

describe('the operator’s page', () => {
  it('follows payments and refusals without being loaded again, and draws their curves', async () => {
    const signer = await start();
    const { page, complaints, hosts } = await open(signer);
    expect(await textOf(page)).toContain('Ready: payments are signed');
    expect(await textOf(page)).toContain('No payment was signed since the start.');

    for (let payment = 0; payment < 3; payment += 1) await signer.post(payableRequest());
    expect((await signer.post('{"orchestrator":1}')).status).toBe(400);
    await soon(async () => {
      const text = await textOf(page);
      expect(text).toContain('ticket-batch');
      expect(text).toContain('BODY_MALFORMED');
      expect(text).not.toContain('No payment was signed since the start.');
    });
    await soon(async () => expect(await page.locator('#payments canvas').count()).toBe(1));
    expect(await page.locator('#curves figure').count()).toBe(3);
    expect(complaints).toEqual([]);
    expect([...hosts]).toEqual([new URL(signer.adminUrl).host]);
  });

  it('tells an exhausted window, and the last denials with what the decision saw', async () => {
    const signer = await start();
    const statuses: number[] = [];
    while (statuses.at(-1) !== 429 && statuses.length < 200) {
      statuses.push((await signer.post(payableRequest())).status);
    }
    expect(statuses.at(-1)).toBe(429);
    const hostile = '<img src=x onerror=alert(1)>';
    const body = { ...(JSON.parse(payableRequest()) as object), ManifestID: hostile };
    expect((await signer.post(JSON.stringify(body))).status).toBe(429);

    const { page, complaints } = await open(signer);
    const text = await textOf(page);
    expect(text).toMatch(/hourly-tickets\s+1h\s.*used up/);
    expect(text).toContain('WINDOW_EXHAUSTED');
    expect(text).toMatch(/no room is left in its limit of 39 tickets/);
    expect(text).toMatch(/headroom\s+0/);
    const overlapping = await page.evaluate<number>(
      `[...document.querySelectorAll('dt')].filter((term) => term.scrollWidth > term.clientWidth).length`,
    );
    expect(overlapping).toBe(0);
    expect(await page.locator('img').count()).toBe(0);
    expect(await findSeriousFaults(page)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('tells a key that fails, with the reason', async () => {
    let isFailing = false;
    const reply = (bytes: Uint8Array) => {
      if (isFailing) throw new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone');
      return { encoding: 'raw' as const, bytes };
    };
    const signer = await start({}, { reply });
    isFailing = true;
    expect((await signer.post(payableRequest())).status).toBeGreaterThanOrEqual(500);
    const { page, complaints } = await open(signer);
    await soon(async () => {
      const text = await textOf(page);
      expect(text).toContain('Not ready: payments are refused');
      expect(text).toContain('key: the device is gone PROVIDER_UNAVAILABLE');
    });
    expect(await findSeriousFaults(page)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('tells an empty deposit, and what to do', async () => {
    const signer = await start({ chain: { ...vectorChain, deposit: '0 wei' } });
    const { page, complaints } = await open(signer);
    const text = await textOf(page);
    expect(text).toContain('Not ready: payments are refused');
    expect(text).toContain('the deposit is empty: fund it');
    expect(text).toContain('DEPOSIT_EMPTY');
    expect(await findSeriousFaults(page)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('stops all signing once that is confirmed, and lets it go on', async () => {
    const signer = await start();
    const { page, complaints } = await open(signer);
    await page.getByText('Stop signing…').click();
    await page.getByLabel('Reason').fill('a drill <b>');
    await page.getByRole('button', { name: 'Stop signing' }).click();
    // not sent: the box that confirms it is empty
    expect((await signer.post(payableRequest())).status).toBe(200);
    await page.getByLabel('Yes, stop all payments').check();
    await page.getByRole('button', { name: 'Stop signing' }).click();
    await page.getByText('Signing is stopped, from the next payment on.').waitFor();
    const stopped = await textOf(page);
    expect(stopped).toMatch(/^Signing is stopped$/m);
    expect(stopped).toContain('Reason: a drill <b>.');
    expect(await findSeriousFaults(page)).toEqual([]);
    const refused = await signer.post(payableRequest());
    const code = refused.headers.get('livepeer-signer-code');
    expect({ status: refused.status, code }).toEqual({ status: 503, code: 'SIGNING_PAUSED' });

    await page.getByLabel('Yes, let the key sign again').check();
    await page.getByRole('button', { name: 'Resume signing' }).click();
    await page.getByText('The key signs again.').waitFor();
    expect((await signer.post(payableRequest())).status).toBe(200);
    expect(complaints).toEqual([]);
    const records = readRecords(join(signer.audit, 'page'));
    expect(records.filter(({ kind }) => kind.startsWith('signing-'))).toMatchObject([
      { kind: 'signing-paused', reason: 'a drill <b>', by: "operator's page, 127.0.0.1" },
      { kind: 'signing-resumed', by: "operator's page, 127.0.0.1" },
    ]);
  });

  it('tells where each chain of the audit log ends, and when all of it was verified', async () => {
    const signer = await start();
    const { page } = await open(signer);
    expect(await textOf(page)).toContain('Nobody has verified it with audit verify yet.');
    const { status } = await run(['audit', 'verify', signer.audit]);
    expect(status).toBe(0);
    await page.reload();
    const text = await textOf(page);
    expect(text).toMatch(/Verified as a whole on 2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d UTC\./);
    const last = readRecords(join(signer.audit, 'server-1')).at(-1);
    expect(text).toContain(last?.['hash']);
  });

  it('obeys no form of another site, and none that was not confirmed', async () => {
    const signer = await start();
    const send = (headers: Record<string, string>, body: string) =>
      fetch(`${signer.adminUrl}/pause`, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
        body,
      }).then(({ status }) => status);
    const confirmed = 'confirm=yes&reason=x';
    expect(await send({ Origin: 'http://evil.example' }, confirmed)).toBe(403);
    expect(await send({ Origin: 'null' }, confirmed)).toBe(403);
    expect(await send({ 'Sec-Fetch-Site': 'cross-site' }, confirmed)).toBe(403);
    expect(await send({}, 'reason=x')).toBe(400);
    expect(await send({}, `confirm=yes&reason=${'x'.repeat(5_000)}`)).toBe(413);
    expect((await fetch(`${signer.adminUrl}/pause`)).status).toBe(405);
    expect((await signer.post(payableRequest())).status).toBe(200);
    expect(await send({ Origin: signer.adminUrl }, confirmed)).toBe(303);
    expect((await signer.post(payableRequest())).status).toBe(503);
  });

  it.each([
    ['on a phone', { viewport: { width: 375, height: 700 } }],
    ['in the dark', { colorScheme: 'dark' as const }],
    ['without JavaScript', { javaScriptEnabled: false }],
  ])('is readable %s', async (what, options) => {
    const signer = await start();
    await signer.post(payableRequest());
    const { page } = await open(signer, options);
    const text = await textOf(page);
    for (const words of ['Deposit', 'Reserve', 'ticket-batch', 'hourly-tickets', 'Audit log']) {
      expect(text).toContain(words);
    }
    if (what === 'without JavaScript') return;
    const { width, inner, back } = await page.evaluate<{
      width: number;
      inner: number;
      back: string;
    }>(`({
      width: document.documentElement.scrollWidth,
      inner: innerWidth,
      back: getComputedStyle(document.body).backgroundColor,
    })`);
    expect(width).toBeLessThanOrEqual(inner);
    expect(back).toBe(what === 'in the dark' ? 'rgb(18, 18, 18)' : 'rgb(255, 255, 255)');
    const strict = await page.context().newPage();
    await strict.goto(`${signer.adminUrl}/`);
    expect(await findSeriousFaults(strict)).toEqual([]);
  });
});
