import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Cli, Folder, devConfig, root, run } from './cli.ts';
import { payableRequest } from './payable-request.ts';

const policy = `default: deny
rules:
  - { id: tenants, when: { tenant: [acme, globex] }, then: allow }
  - { id: blocked, when: { recipient: [0x000000000000000000000000000000000000dEaD] }, then: deny }
  - { id: ceilings, limit: { tickets: 10, sessionEv: 5000 wei } }
  - { id: hourly, when: { tenant: [acme] }, window: { per: tenant, every: 1h, ev: 90071992547409930001 wei, sessions: 2 } }
  - { id: no-llm, mode: observe, when: { capability: [llm] }, then: deny }
`;

/** A configuration beside a policy file, and a store for its windows. */
function writeConfig(
  folder: Folder,
  text = policy,
  store = 'store: { kind: embedded, path: spending }',
): string {
  folder.write('policy.yaml', text);
  return folder.write('signer.yaml', `${devConfig}policy: { file: policy.yaml }\n${store}\n`);
}

describe.concurrent('policy check', () => {
  it('takes the ready policy file, without a warning', async () => {
    const path = join(root, 'config/policy.yaml');
    expect(await run(['policy', 'check', path])).toMatchObject({
      status: 0,
      stdout: `${path} is valid: 8 rules\n`,
      stderr: '',
    });
  });

  it('warns of rules that are valid and have no effect', async () => {
    using folder = new Folder();
    const path = folder.write('policy.yaml', 'default: allow\nrules: [{ id: a, then: allow }]');
    const { status, stdout } = await run(['policy', 'check', path]);
    expect(status).toBe(0);
    expect(stdout).toContain(
      'is valid: 1 rule\nwarning: rule a has no effect: the default is to allow',
    );
  });

  it('lists every problem and ends with 2', async () => {
    using folder = new Folder();
    const path = folder.write(
      'policy.yaml',
      'default: x\nrules: [{ id: a }, { id: b, then: maybe }]',
    );
    const { status, stdout, stderr } = await run(['policy', 'check', path]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`${path} is not a valid policy:`);
    for (const problem of ['default: ', 'rules.0: ', 'rules.1.then: ', '[CONFIG_INVALID]']) {
      expect(stderr).toContain(problem);
    }
  });

  it('finds the file by the configuration', async () => {
    using folder = new Folder();
    const config = writeConfig(folder);
    expect(await run(['policy', 'check', '--config', config])).toMatchObject({
      status: 0,
      stdout: `${join(folder.path, 'policy.yaml')} is valid: 5 rules\n`,
    });
  });

  it('misses in the configuration what the policy needs', async () => {
    using folder = new Folder();
    const { status, stderr } = await run([
      'policy',
      'check',
      '-c',
      writeConfig(folder, policy, ''),
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain('has windows');
  });

  it('wants either a file or a configuration', async () => {
    const { status, stderr } = await run(['policy', 'check', 'policy.yaml', '-c', 'signer.yaml']);
    expect(status).toBe(2);
    expect(stderr).toContain("expected either a policy file or '--config <file>'");
  });
});

describe.concurrent('policy test', () => {
  const passing = `policy: policy.yaml
cases:
  - name: acme may pay
    request: { principal: gateway-1, tenant: acme, ticketEv: 100.5 wei, tickets: 10 }
    expect: allow
  - name: nobody else may
    expect: deny
  - name: not to the blocked recipient
    request: { tenant: acme, recipient: "0x000000000000000000000000000000000000DEAD" }
    expect: deny
    rule: blocked
  - name: not more tickets
    request: { tenant: acme, tickets: 11 }
    expect: deny
    rule: ceilings
  - name: not more in a session
    request: { tenant: acme, ticketEv: 1 wei, session: { ev: 5000 wei, age: 2h } }
    expect: deny
    rule: ceilings
  - name: the last wei of the hour
    request: { tenant: acme, ticketEv: 1 wei, session: { age: 1m } }
    spent: { hourly: { ev: 90071992547409930000 wei, sessions: 2 } }
    expect: allow
  - name: one wei more
    request: { tenant: acme, ticketEv: 1.5 wei, session: { age: 1m } }
    spent: { hourly: { ev: 90071992547409930000 wei, sessions: 2 } }
    expect: deny
    rule: hourly
  - name: another tenant's hour is its own
    request: { tenant: globex, ticketEv: 1 wei }
    spent: { hourly: { sessions: 2 } }
    expect: allow
  - name: llm is watched
    request: { tenant: acme, capability: [live-video-to-video/noop, llm/meta/llama-3] }
    expect: allow
    observed: [no-llm]
`;

  it('prints a line for each case and the count', async () => {
    using folder = new Folder();
    folder.write('policy.yaml', policy);
    const { status, stdout, stderr } = await run([
      'policy',
      'test',
      folder.write('cases.yaml', passing),
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.match(/^ok /gm)).toHaveLength(9);
    expect(stdout).toMatch(/^ok {4}acme may pay\n/);
    expect(stdout).toMatch(/\n9 passed, 0 failed\n$/);
  });

  it('ends with 1 and tells what came out instead of what was expected', async () => {
    using folder = new Folder();
    folder.write('policy.yaml', policy);
    const cases = `policy: policy.yaml
cases:
  - { name: a, request: { tenant: acme }, expect: allow }
  - { name: b, request: { tenant: acme, tickets: 11 }, expect: allow }
  - { name: c, request: { tenant: acme }, expect: deny }
  - { name: d, request: { tenant: acme, tickets: 11 }, expect: deny, rule: blocked }
  - { name: e, request: { tenant: acme, capability: [llm] }, expect: allow, observed: [] }
`;
    const { status, stdout } = await run(['policy', 'test', folder.write('cases.yaml', cases)]);
    expect(status).toBe(1);
    const denial =
      'deny (denied by rule ceilings: 11 tickets exceed its limit of 10) [RULE_LIMIT_EXCEEDED]';
    expect(stdout.split('\n')).toEqual([
      'ok    a',
      `FAIL  b: expected allow, found ${denial}`,
      'FAIL  c: expected deny, found allow',
      `FAIL  d: expected rule blocked to deny, found ${denial}`,
      'FAIL  e: expected to observe none, found no-llm',
      '1 passed, 4 failed',
      '',
    ]);
  });

  it('refuses cases that name rules which the policy does not have', async () => {
    using folder = new Folder();
    folder.write('policy.yaml', policy);
    const cases =
      '[{ name: a, expect: deny, rule: gone, observed: [lost], spent: { tenants: {} } }]';
    const file = folder.write('cases.yaml', `policy: policy.yaml\ncases: ${cases}`);
    const { status, stdout, stderr } = await run(['policy', 'test', file]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('cases.0: the policy has no rule gone');
    expect(stderr).toContain('cases.0: the policy has no rule lost');
    expect(stderr).toContain('cases.0.spent: the policy has no rule tenants with a window');
  });
});

describe.concurrent('policy explain', () => {
  it('tells what each rule makes of the payment, what is left in its windows, and the verdict', async () => {
    using folder = new Folder();
    const request = {
      principal: 'gateway-1',
      tenant: 'acme',
      recipient: '0x00000000000000000000000000000000000000aa',
      capability: ['llm/meta/llama-3'],
      ticketEv: '1 wei',
      tickets: 2,
    };
    const file = folder.write('request.json', JSON.stringify(request));
    const { status, stdout, stderr } = await run([
      'policy',
      'explain',
      file,
      '-c',
      writeConfig(folder),
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'tenants (allow)         matches: allowed',
      'blocked (deny)          does not match: recipient',
      'ceilings (limit)        matches: within its limits',
      'hourly (window)         matches: counts in the window of tenant=acme',
      'no-llm (deny, observe)  matches, without effect: denied by rule no-llm',
      '',
      'hourly tenant=acme 1h ev        0 of 90071992547409930001 wei used, 90071992547409930001 wei left',
      'hourly tenant=acme 1h sessions  0 of 2 used, 2 left',
      '',
      'verdict: allow',
      'would deny if enforced: no-llm',
      '',
    ]);
  });

  it('gives the verdict of a payment that is denied, with its code', async () => {
    using folder = new Folder();
    const file = folder.write('request.json', '{ "tickets": 11 }');
    const { status, stdout } = await run(['policy', 'explain', file, '-c', writeConfig(folder)]);
    expect(status).toBe(0);
    expect(stdout).toContain('tenants (allow)         does not match: tenant\n');
    expect(stdout).toContain(
      'ceilings (limit)        matches: denied by rule ceilings: 11 tickets',
    );
    expect(stdout).toContain(
      '\nverdict: deny (denied: no rule allows this payment) [NO_RULE_ALLOWS]\n',
    );
  });

  it('reads what a running signer has spent', async () => {
    using folder = new Folder();
    const text =
      'default: allow\nrules: [{ id: daily, window: { per: all, every: 1d, sessions: 7 } }]';
    const config = writeConfig(folder, text);
    const signer = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0']);
    try {
      const url = `${await signer.listening()}/generate-live-payment`;
      const paid = await fetch(url, { method: 'POST', body: payableRequest() });
      expect(paid.status).toBe(200);
      const file = folder.write('request.json', '{}');
      const { stdout } = await run(['policy', 'explain', file, '-c', config]);
      expect(stdout).toContain('\ndaily 1d sessions  1 of 7 used, 6 left\n');
    } finally {
      signer.child.kill('SIGKILL');
      await signer.ended();
    }
  });

  it('says why it can’t tell what was spent when the ledger does not answer', async () => {
    using folder = new Folder();
    const file = folder.write('request.json', '{ "tenant": "acme" }');
    const config = writeConfig(
      folder,
      policy,
      'store: { kind: redis, url: "redis://127.0.0.1:1" }',
    );
    const { status, stdout } = await run(['policy', 'explain', file, '-c', config]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/\nwhat was spent in windows is unknown: \S.*\n\nverdict: allow\n/);
  });
});
