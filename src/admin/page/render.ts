import { formatDecimal, rational } from '../../pm/rational.ts';
import { programVersion } from '../../program-version.ts';
import type { KeyStatus, SignerStatus } from '../signer-status.ts';
import type { History } from './history.ts';
import { Html, html } from './html.ts';
import type { AuditView, RecordedDenial, SwitchView } from './page-source.ts';
import { type Sample, named, total, totalsBy } from './samples.ts';

/** Everything that the page shows, at one moment. */
export type PageView = {
  readonly status: SignerStatus;
  readonly samples: readonly Sample[];
  readonly history: Pick<History, 'evWeiPerSecond'>;
  readonly audit: AuditView | undefined;
  readonly signing: SwitchView;
  readonly now: Date;
};

const prefix = 'livepeer_hsm_signer_';

/** The figures, which a browser replaces as they change. */
export function renderFigures(view: PageView): Html {
  return html` ${renderState(view)} ${view.status.keys.map((key) => renderMoney(key, view))}
  ${renderTenants(view.samples)} ${renderWindows(view.samples)} ${renderKeyUse(view.samples)}
  ${renderRefusals(view.samples)} ${renderDenials(view.audit)} ${renderInstances(view.status)}
  ${renderAudit(view.audit)} ${renderOrchestrators(view.status)}`;
}

/** The whole page. `notice` says how the operator's last order ended. */
export function renderPage(view: PageView, notice: string | undefined): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>livepeer-hsm-signer</title>
        <link rel="stylesheet" href="/uplot.css" />
        <link rel="stylesheet" href="/page.css" />
        <script src="/uplot.js" defer></script>
        <script src="/page.js" defer></script>
      </head>
      <body>
        <header>
          <h1>livepeer-hsm-signer</h1>
          <p>version ${programVersion()}, <span id="age">as of ${timeOf(view.now)} UTC</span></p>
          <p><a href="#switch-title">The switch that stops signing</a></p>
        </header>
        <main>
          ${notice === undefined ? undefined : html`<p class="notice" role="status">${notice}</p>`}
          <div id="figures">${renderFigures(view)}</div>
          <section aria-labelledby="curves-title" id="curves" hidden>
            <h2 id="curves-title">The last hour</h2>
            <div class="curves">
              <figure>
                <figcaption>Payments a second</figcaption>
                <div id="payments"></div>
              </figure>
              <figure>
                <figcaption>Expected value, ether an hour</figcaption>
                <div id="ev"></div>
              </figure>
              <figure>
                <figcaption>Refusals a second</figcaption>
                <div id="refusals"></div>
              </figure>
            </div>
          </section>
          ${renderSwitch(view.signing)}
        </main>
      </body>
    </html> `.text;
}

function renderState({ status, signing }: PageView): Html {
  const red = status.parts.filter(({ isReady }) => !isReady);
  const [kind, words] =
    signing.kind === 'paused'
      ? ['bad', 'Signing is stopped']
      : status.isReady
        ? ['good', 'Ready: payments are signed']
        : ['bad', 'Not ready: payments are refused'];
  return html` <section aria-labelledby="state-title">
    <h2 id="state-title" class="${kind}">${words}</h2>
    ${signing.kind === 'paused' ? html`<p>Stopped by ${signing.by || 'somebody'} on ${readable(signing.since)}. ${signing.reason && `Reason: ${signing.reason}.`} The switch is at the end of this page.</p>` : undefined}
    ${
      red.length === 0
        ? undefined
        : html`<ul class="reasons">
            ${red.map(renderProblem)}
          </ul>`
    }
    <details>
      <summary>${String(status.parts.length)} parts looked at</summary>
      <ul>
        ${status.parts.map(({ name, isReady, ageMs }) => html`<li>${name}: ${isReady ? 'can be used' : 'can’t be used'}${ageMs > 0 ? html`, known for ${seconds(ageMs)}` : undefined}</li>`)}
      </ul>
    </details>
  </section>`;
}

function renderProblem({ name, code, reason, worker }: SignerStatus['parts'][number]): Html {
  return html`<li>
    <strong>${name}</strong>: ${reason} <code>${code}</code>
    <small>(worker ${worker}; docs/runbook.md says what to do)</small>
  </li>`;
}

function renderMoney(
  { address, role, sessionsInLastHour, lastPaymentAt, chain }: KeyStatus,
  { history }: PageView,
): Html {
  const perSecond = history.evWeiPerSecond(address);
  const rows = [
    row('Deposit', ether(chain.depositWei), chain.isDepositLow === true),
    row('Lasts for', lasting(chain.depositWei, perSecond), false),
    row('Reserve', ether(chain.reserveWei), chain.isReserveLow === true),
    row(
      'Unlocked for withdrawal',
      chain.withdrawRound === '0' ? 'no' : `from round ${chain.withdrawRound}`,
      chain.withdrawRound !== '0',
    ),
    row(
      'Chain',
      `${chain.chainId}, L1 block ${chain.l1Block}, round ${chain.round}${chain.ageMs === undefined ? '' : `, read ${seconds(chain.ageMs)} ago`}`,
      false,
    ),
    row('Sessions in the last hour', String(sessionsInLastHour), false),
    row(
      'Last payment',
      lastPaymentAt === null ? 'none since the start' : readable(lastPaymentAt),
      false,
    ),
  ];
  return html` <section>
    <h2>Key <code>${address}</code> (${role})</h2>
    <dl>${rows}</dl>
  </section>`;
}

function row(term: string, text: string, isBad: boolean): Html {
  return html`<div><dt>${term}</dt><dd${isBad ? html` class="bad"` : undefined}>${text}${isBad ? ' (look at it)' : undefined}</dd></div>`;
}

/** An estimate: orchestrators win and redeem tickets by chance. */
function lasting(depositWei: string, weiPerSecond: number | undefined): string {
  if (BigInt(depositWei) === 0n) return 'nothing: the deposit is empty, fund it';
  if (weiPerSecond === undefined) return 'not known yet: it takes two looks, 10 s apart';
  if (weiPerSecond === 0) return 'nothing was spent in the last hour';
  const days = Number(BigInt(depositWei)) / weiPerSecond / 86_400;
  const rate = `at ${short((weiPerSecond * 86_400) / 1e18)} ether a day, as in the last hour`;
  return days > 3_650 ? `more than 10 years ${rate}` : `${short(days)} days ${rate}`;
}

function renderTenants(samples: readonly Sample[]): Html | undefined {
  const spent = totalsBy(samples, `${prefix}expected_value_wei_total`, 'tenant');
  const fees = totalsBy(samples, `${prefix}fees_wei_total`, 'tenant');
  return table(
    'Tenants, since the start',
    ['Tenant', 'Expected value, ether', 'Fees, ether'],
    largestFirst(spent).map(([tenant, wei]) => [
      tenant,
      short(wei / 1e18),
      short((fees.get(tenant) ?? 0) / 1e18),
    ]),
    'No payment was signed since the start.',
  );
}

function renderWindows(samples: readonly Sample[]): Html | undefined {
  const headrooms = named(samples, `${prefix}window_headroom`);
  const limits = named(samples, `${prefix}window_limit`);
  const rows = headrooms
    .map(({ labels, value: left }) => {
      const allowed = limits.find((limit) => isSameWindow(limit.labels, labels))?.value ?? left;
      return { labels, left, allowed, used: allowed > 0 ? 1 - left / allowed : 1 };
    })
    .sort((a, b) => b.used - a.used)
    .map(({ labels, left, allowed, used }) => {
      const { rule, window, scope, limit } = labels;
      const amount = (value: number): string =>
        limit === 'ev_wei' ? `${short(value / 1e18)} ether` : `${short(value)} ${limit ?? ''}`;
      const percent = `${Math.floor(used * 100)} %`;
      return [
        rule ?? '',
        window ?? '',
        scope?.replace(/=$/, ' of none') ?? '',
        used >= 1
          ? html`<strong class="bad">used up</strong>`
          : html`<meter
                min="0"
                max="1"
                high="0.8"
                optimum="0"
                value="${used.toFixed(3)}"
                aria-label="${percent} used"
              ></meter>
              ${percent}`,
        `${amount(left)} of ${amount(allowed)}`,
      ];
    });
  return table(
    'Windows',
    ['Rule', 'Window', 'Whose', 'Used', 'Left'],
    rows,
    'No window was asked for since the start.',
  );
}

function isSameWindow(one: Sample['labels'], other: Sample['labels']): boolean {
  return ['rule', 'window', 'scope', 'limit'].every((label) => one[label] === other[label]);
}

function renderKeyUse(samples: readonly Sample[]): Html | undefined {
  const name = `${prefix}key_use_duration_seconds`;
  const counts = named(samples, `${name}_count`).filter(({ value }) => value > 0);
  const waiting = total(samples, `${prefix}key_calls_waiting`);
  const rows = counts.map(({ labels, value }) => {
    const { provider = '', intent = '', result = '' } = labels;
    const isSame = (sample: Sample): boolean =>
      ['provider', 'intent', 'result'].every((label) => sample.labels[label] === labels[label]);
    const sum = total(named(samples, `${name}_sum`).filter(isSame), `${name}_sum`);
    const buckets = named(samples, `${name}_bucket`).filter(isSame);
    return [
      provider,
      intent,
      result === 'signed' ? result : html`<span class="bad">${result}</span>`,
      String(value),
      `${short((sum / value) * 1000)} ms`,
      slowest(buckets, value),
    ];
  });
  return table(
    `Uses of the key, since the start; ${waiting} calls wait now`,
    ['Provider', 'For', 'Result', 'Uses', 'Mean', '99 of 100 within'],
    rows,
    'The key was not used since the start.',
  );
}

function slowest(buckets: readonly Sample[], count: number): string {
  const enough = buckets
    .filter(({ value }) => value >= 0.99 * count)
    .map(({ labels }) => Number(labels['le'] === '+Inf' ? Infinity : labels['le']));
  const bound = Math.min(...enough);
  return Number.isFinite(bound) ? `${short(bound * 1000)} ms` : 'more than the last bucket';
}

function renderRefusals(samples: readonly Sample[]): Html | undefined {
  const refusals = largestFirst(totalsBy(samples, `${prefix}refusals_total`, 'code')).filter(
    ([, count]) => count > 0,
  );
  const notDue = total(samples, `${prefix}not_due_total`);
  const refreshes = total(samples, `${prefix}session_refreshes_total`);
  return table(
    'Refusals, since the start',
    ['Code', 'Requests'],
    refusals.map(([code, count]) => [code, String(count)]),
    'Nothing was refused since the start.',
    html`<p>
      Besides, ${notDue} requests had nothing to pay yet (482), and ${refreshes} were told to fetch
      the orchestrator’s terms again (480): both belong to the protocol.
    </p>`,
  );
}

function renderDenials(audit: AuditView | undefined): Html | undefined {
  if (!audit) return undefined;
  return table(
    'Last denials',
    ['When', 'Code', 'What the decision saw', 'Request'],
    audit.denials.map((denial) => [
      readable(denial.time),
      html`<code>${denial.code}</code>`,
      explain(denial),
      html`<code>${denial.requestId}</code>`,
    ]),
    'Nothing was denied as far back as the newest files of the audit log go.',
  );
}

function explain({ facts }: RecordedDenial): Html {
  const { reason, message, ...others } = facts;
  return html`${reason ?? message}
    <dl class="facts">
      ${Object.entries(others).map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>`;
}

function renderInstances({ seals, workers }: SignerStatus): Html | undefined {
  const rows = workers.map(({ worker, isAnswering }) => {
    const own = seals.filter((seal) => seal.worker === worker);
    return [
      String(worker),
      isAnswering ? 'answers' : html`<strong class="bad">silent</strong>`,
      html`${own.map(({ instanceKey, endsAt, address }) => html`<div><code>${instanceKey.slice(0, 16)}…</code> of <code>${address}</code> until ${readable(endsAt)}</div>`)}`,
    ];
  });
  return table(
    'Workers, and the delegations that they seal sessions with',
    ['Worker', 'State', 'Delegation'],
    rows,
    'No worker is known.',
  );
}

function renderAudit(audit: AuditView | undefined): Html {
  if (!audit)
    return html`<section>
      <h2>Audit log</h2>
      <p>There is none, or it can’t be read: see <code>audit.path</code>.</p>
    </section>`;
  return table(
    'Audit log',
    ['Chain', 'Records', 'Hash of the last one', 'Written'],
    audit.heads.map(({ chain, seq, hash, writtenAt }) => [
      chain,
      String(seq),
      html`<code class="hash">${hash}</code>`,
      readable(writtenAt),
    ]),
    'It has no chain yet.',
    audit.verifiedAt === undefined
      ? html`<p>Nobody has verified it with <code>audit verify</code> yet.</p>`
      : html`<p>Verified as a whole on ${readable(audit.verifiedAt)}.</p>`,
  );
}

function renderOrchestrators({ orchestrators }: SignerStatus): Html | undefined {
  if (!orchestrators) return undefined;
  return table(
    `Orchestrators listed by discovery: ${orchestrators.count}`,
    ['Address', 'Last seen', 'Offers'],
    orchestrators.first.map(({ address, lastSeen, offers }) => [
      address,
      readable(lastSeen),
      offers.join(', '),
    ]),
    'None.',
  );
}

function renderSwitch(signing: SwitchView): Html {
  return html` <section aria-labelledby="switch-title">
    <h2 id="switch-title">The switch</h2>
    ${renderSwitchState(signing)}
  </section>`;
}

function renderSwitchState(signing: SwitchView): Html {
  switch (signing.kind) {
    case 'unknown':
      return html`<p class="bad">${signing.why}</p>`;
    case 'paused':
      return html` <p>All signing has been stopped since ${readable(signing.since)}.</p>
        <form method="post" action="/resume">
          <label
            ><input type="checkbox" name="confirm" value="yes" required /> Yes, let the key sign
            again</label
          >
          <button>Resume signing</button>
        </form>`;
    case 'signing':
      return html` <details>
        <summary>Stop signing…</summary>
        <p>
          No payment is signed any more, by any worker, nor by any instance that shares a Redis with
          this one. Streams that are paid for now end within seconds. It holds over a restart, until
          somebody resumes.
        </p>
        <form method="post" action="/pause">
          <label>Reason <input name="reason" maxlength="256" required /></label>
          <label
            ><input type="checkbox" name="confirm" value="yes" required /> Yes, stop all
            payments</label
          >
          <button class="danger">Stop signing</button>
        </form>
      </details>`;
  }
}

type Cell = Html | string;

function table(
  title: string,
  heads: readonly string[],
  rows: readonly (readonly Cell[])[],
  none: string,
  note?: Html,
): Html {
  const id = title.replace(/\W.*/, '').toLowerCase();
  return html`<section>
    <h2 id="${id}-title">${title}</h2>
    ${
      rows.length === 0
        ? html`<p>${none}</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-title">
            <table>
              <thead>
                <tr>
                  ${heads.map((head) => html`<th scope="col">${head}</th>`)}
                </tr>
              </thead>
              <tbody>
                ${rows.map(
                  (cells) =>
                    html`<tr>
                      ${cells.map((cell) => html`<td>${cell}</td>`)}
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`
    }
    ${note}
  </section>`;
}

function largestFirst(totals: ReadonlyMap<string, number>): (readonly [string, number])[] {
  return [...totals].sort(([, a], [, b]) => b - a);
}

/** Wei, as decimal text, in ether with six exact decimal places. */
function ether(wei: string): string {
  return `${formatDecimal(rational(BigInt(wei), 10n ** 18n), 6)} ether`;
}

/** A number with three significant digits, for display. */
function short(value: number): string {
  if (value === 0) return '0';
  return value >= 1_000 || value < 1e-6
    ? value.toExponential(2)
    : String(Number(value.toPrecision(3)));
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

/** A time of RFC 3339 as `2026-11-26 22:04:45 UTC`. */
function readable(time: string): string {
  return time === '' ? 'an unknown time' : `${time.slice(0, 19).replace('T', ' ')} UTC`;
}

function timeOf(now: Date): string {
  return now.toISOString().slice(11, 19);
}
