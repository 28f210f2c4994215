import { appendFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type GuardedSigner,
  as,
  firstPayment,
  nextPayment,
  startGuardedSigner,
  ticketEv,
} from '../guardrails/guarded-signer.ts';
import { Folder, devConfig, run } from '../cli/cli.ts';
import { readRecords } from '../guardrails/evidence.ts';
import { soon } from '../support/soon.ts';

const policy = `default: allow
rules:
  - id: acme-day
    when: { tenant: [acme] }
    window: { per: tenant, every: 24h, ev: ${4n * ticketEv} wei }
  - id: small
    when: { principal: [mallory] }
    limit: { tickets: 2 }
`;

/** What a caller may choose that a terminal or a spreadsheet must not take at its word. */
const hostile = '=1+1\u001b[31m\u009b2J\u202eapp';

describe('the log of payments and denials', () => {
  let signer: GuardedSigner;
  let folder: Folder;
  let config: string;
  let audit: string;
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    signer = await startGuardedSigner({
      policy,
      settings: {
        auth: { trustedProxies: ['127.0.0.1'] },
        // 4,000 US dollars an ether
        prices: { feed: { weiPerUsd: '250000000000000' } },
      },
    });
    audit = join(signer.folder, 'audit');
    folder = new Folder();
    config = folder.write(
      'signer.yaml',
      `${devConfig}audit: { path: ${audit} }\nstore: { kind: embedded, path: ${join(signer.folder, 'store')} }\n` +
        `policy: { file: ${join(signer.folder, 'policy.yaml')} }\n`,
    );
    const idOf = ({ headers }: { readonly headers: Headers }) => headers.get('x-request-id') ?? '';
    const paid = await signer.post(await firstPayment(3), as('acme:ann'));
    expect(paid.status).toBe(200);
    ids['paid'] = idOf(paid);
    const { state } = JSON.parse(paid.text) as { state: { State: string; Sig: string } };
    signer.now = (signer.now ?? 0n) + 1_000_000_000n;
    const exhausted = await signer.post(await nextPayment(state, 3), as('acme:ann'));
    expect(exhausted.status).toBe(429);
    ids['exhausted'] = idOf(exhausted);
    const limited = await signer.post(
      await firstPayment(3, {
        body: { app: hostile, gatewayRequestId: '@SUM(A1)\u001b]0;x\u0007' },
      }),
      as('mallory'),
    );
    expect(limited.status).toBe(403);
    ids['limited'] = idOf(limited);
    await soon(() =>
      expect(readRecords(audit).filter(({ kind }) => kind === 'denied')).toHaveLength(2),
    );
  });

  afterAll(async () => {
    await signer.close();
    folder[Symbol.dispose]();
  });

  /** What may not reach a terminal: all but visible ASCII and line feeds. */
  const invisible = /[^\x20-\x7e\n]/;

  it('has of a denial what the decision saw, as data', () => {
    const denied = readRecords(audit).filter(({ kind }) => kind === 'denied');
    expect(denied[0]).toMatchObject({
      request: ids['exhausted'],
      principal: 'acme:ann',
      tenant: 'acme',
      code: 'WINDOW_EXHAUSTED',
      rule: 'acme-day',
      sender: signer.address,
      data: { limit: 'ev', maximum: '4000000000', windowMs: 86_400_000 },
      amounts: {
        tickets: '3',
        evWei: `${3n * ticketEv}`,
        priceWei: `${ticketEv}`,
        initialPriceWei: `${ticketEv}`,
        sessionEvWei: `${3n * ticketEv}`,
      },
      subject: {
        session: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        sequence: '1',
        recipient: expect.stringMatching(/^0x/) as string,
        orchestrator: expect.stringMatching(/^0x/) as string,
        manifestId: expect.stringMatching(/./) as string,
      },
      windows: [
        {
          rule: 'acme-day',
          scope: 'tenant=acme',
          limit: 'ev',
          maximum: '4000000000',
          spent: '3000000000',
          headroom: '1000000000',
        },
      ],
    });
    expect(denied[1]).toMatchObject({
      code: 'RULE_LIMIT_EXCEEDED',
      data: { limit: 'tickets', actual: '3', maximum: '2' },
      subject: { app: hostile, newSession: 'true' },
      usage: { gatewayRequestId: '@SUM(A1)\u001b]0;x\u0007' },
    });
  });

  it('tells a denial as a story, with what its session did before', async () => {
    const { status, stdout, stderr } = await run(['audit', 'show', ids['exhausted'] ?? '', audit]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^outcome +denied: nothing was signed$/m);
    expect(stdout).toMatch(/^code +WINDOW_EXHAUSTED /m);
    expect(stdout).toMatch(/^rule +acme-day$/m);
    expect(stdout).toMatch(/^asked by +acme:ann$/m);
    expect(stdout).toMatch(
      /^window acme-day +tenant=acme, ev every 1d: 3000000000 of 4000000000 spent, 1000000000 left$/m,
    );
    expect(stdout).toMatch(
      new RegExp(`^before it +\\S+ 3 tickets, 3000000000 wei of EV, request ${ids['paid']}, `, 'm'),
    );
  });

  it('tells a payment with the signatures of the key', async () => {
    const shown = await run(['audit', 'show', ids['paid'] ?? '', '--config', config]);
    expect(shown.stdout).toMatch(/^outcome +paid: the key signed all of it$/m);
    expect(shown.stdout).toMatch(
      /^signatures +3 for ticket-batch of test-key:memory: given after [\d.]+ ms$/m,
    );
  });

  it('lets nothing that a caller chose act on a terminal or in a spreadsheet', async () => {
    const limited = ids['limited'] ?? '';
    const outputs = await Promise.all([
      run(['audit', 'report', audit, '--by', 'app', '--format', 'csv']),
      run(['audit', 'show', limited, audit]),
      run(['audit', 'show', limited, audit, '--json']),
      run(['audit', 'tail', audit, '--code', 'RULE_LIMIT_EXCEEDED']),
      run(['policy', 'explain', '--config', config, '--request', limited]),
    ]);
    for (const { stdout, stderr } of outputs) {
      expect(stderr).toBe('');
      expect(stdout.length).toBeGreaterThan(20);
      expect(stdout).not.toMatch(invisible);
    }
    expect(JSON.parse(outputs[2].stdout)).toMatchObject({
      outcome: 'denied',
      records: [{ chain: 'server-1', kind: 'denied', subject: { app: hostile } }],
    });
    expect(outputs[0].stdout).toContain(`\n'=1+1\\u001b[31m\\u009b2J\\u202eapp,0,0,0,0,0,0,1\n`);
  });

  it('judges a denial anew, by the policy in force or by another one, with windows as they were', async () => {
    const explain = async (id: string, ...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await run([
        ...['policy', 'explain', '--config', config, '--request', ids[id] ?? ''],
        ...args,
      ]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return stdout;
    };
    const asThen = await explain('exhausted');
    expect(asThen).toContain('acme-day tenant=acme 1d ev  3000000000 of 4000000000 wei used');
    expect(asThen).toContain('[WINDOW_EXHAUSTED]\nas then: the same rule denies it\n');
    const wider = folder.write(
      'wider.yaml',
      policy.replace(`${4n * ticketEv}`, `${6n * ticketEv}`),
    );
    expect(await explain('exhausted', '--policy', wider)).toContain(
      'verdict: allow\nchanged: it was denied then, and the rules would allow it now\n',
    );
    const strict = folder.write('strict.yaml', 'default: deny\nrules: []\n');
    expect(await explain('paid', '--policy', strict)).toContain(
      'changed: the rules allowed it then, and would deny it now',
    );
  });

  it('adds up exactly what was paid, from one time on and before another', async () => {
    const report = async (...args: string[]): Promise<string> =>
      (await run(['audit', 'report', audit, ...args])).stdout;
    const fee = readRecords(audit).find(({ intent }) => intent === 'ticket-batch')?.['amounts'] as {
      feeWei: string;
    };
    expect(await report('--format', 'csv')).toBe(
      'tenant,payments,tickets,ev_wei,fee_wei,fee_usd,payments_without_usd,denials\n' +
        `acme,1,3,3000000000,${fee.feeWei},0.000012,0,1\n,0,0,0,0,0,0,1\n`,
    );
    const table = (await report('--by', 'orchestrator')).split('\n');
    expect(table[0]).toMatch(/^orchestrator +payments +tickets +ev_wei/);
    expect(table.at(-2)).toMatch(/^total +1 +3 +3000000000 +\d+ +0\.000012 +0 +2$/);
    expect(await report('--to', '2026-01-01', '--format', 'csv')).toMatch(/^tenant.*\n$/);
  });

  it('keeps what a filter of tail chooses, outcomes with their uses', async () => {
    const { stdout } = await run(['audit', 'tail', audit, '--tenant', 'acme', '--lines', '20']);
    const kinds = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[2]);
    expect(kinds.toSorted()).toEqual(['denied', 'key-use', 'key-use', 'signed', 'signed']);
  });

  it('ends with 1 for a request that it does not have, and says which line of one is broken', async () => {
    const unknown = await run(['audit', 'show', '\u001b[31m', audit]);
    expect(unknown.status).toBe(1);
    expect(unknown.stderr).toMatch(
      /^livepeer-hsm-signer: the audit log has no request "\\u001b\[31m"/,
    );

    const copy = join(folder.path, 'copy', 'server-1');
    mkdirSync(copy, { recursive: true });
    const [name = ''] = readdirSync(join(audit, 'server-1')).filter((each) =>
      each.endsWith('.jsonl'),
    );
    const text = readFileSync(join(audit, 'server-1', name), 'utf8');
    writeFileSync(
      join(copy, name),
      text.replace('"code":"WINDOW_EXHAUSTED"', '"code":"WINDOW_ENHAUSTED"'),
    );
    appendFileSync(join(copy, name), '{"seq":');
    const folderForFile = join(folder.path, 'other', 'server-1');
    mkdirSync(join(folderForFile, '000001.jsonl'), { recursive: true });
    const broken = await run(['audit', 'show', ids['exhausted'] ?? '', copy]);
    expect(broken.status).toBe(1);
    expect(broken.stdout).toMatch(
      /^broken record +".*000001\.jsonl line \d+: its hash is not that of its content"$/m,
    );
    const [report, other] = await Promise.all([
      run(['audit', 'report', copy, '--format', 'csv']),
      run(['audit', 'report', folderForFile]),
    ]);
    expect(report).toMatchObject({ status: 1 });
    expect(report.stderr).toContain('chain server-1 is broken');
    expect(other).toMatchObject({ status: 1 });
    expect(other.stderr).toMatch(
      /chain server-1 can't be read: .*000001\.jsonl is not a plain file\n$/,
    );
  });
});
