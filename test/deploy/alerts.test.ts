import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { Folder, root } from '../cli/cli.ts';
import { anchorsOf, readDocument } from '../docs/markdown.ts';
import { announcedSeries, documentedSeries, faultsOf } from './metric-names.ts';
import { promtool } from './promtool.ts';

const path = join(root, 'deploy/prometheus/alerts.yaml');

type Alert = {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

const { groups } = parse(readFileSync(path, 'utf8')) as { groups: { rules: Alert[] }[] };
const alerts = groups.flatMap(({ rules }) => rules);

/** Series by selector, a value a minute as promtool writes them. */
type Series = Readonly<Record<string, string>>;
type Case = { readonly fires: Series; readonly quiet: Series };

const at = 'job="livepeer-hsm-signer",instance="signer-1:7937"';
const metric = (name: string, labels = ''): string =>
  `livepeer_hsm_signer_${name}{${at}${labels && `,${labels}`}}`;
const refusals = (code: string): string => metric('refusals_total', `code="${code}"`);
const sender = 'sender="0xd580F60160D988Fa10140525e6a0F8194002F66A"';
const payments = metric('payments_total', `${sender},type="lv2v"`);
const grows = '0+10x40';
const stays = '7+0x40';

/** Fires while refusals of the first code grow, and not for those that came before, nor for the second code. */
const refused = (code: string, other = 'RULE_DENIED'): Case => ({
  fires: { [refusals(code)]: grows },
  quiet: { [refusals(code)]: stays, [refusals(other)]: grows },
});
/** A gauge that is 1 while something is wrong; above 1 it fires all the same. */
const raised = (name: string, labels: string): Case => ({
  fires: { [metric(name, labels)]: '2+0x40' },
  quiet: { [metric(name, labels)]: '0+0x40' },
});

const window = 'rule="day",window="1d",scope="tenant=acme",limit="ev_wei"';
/** One in ten takes more than 2.5 s. */
const slow = (name: string, labels: string): Series => ({
  [metric(`${name}_bucket`, `${labels},le="0.5"`)]: '0+90x40',
  [metric(`${name}_bucket`, `${labels},le="2.5"`)]: '0+90x40',
  [metric(`${name}_bucket`, `${labels},le="5"`)]: '0+100x40',
  [metric(`${name}_bucket`, `${labels},le="+Inf"`)]: '0+100x40',
});

/** Each alert, a story in which it fires after half an hour, and a near one in which it does not. */
const cases: Readonly<Record<string, Case>> = {
  LivepeerSignerDown: {
    fires: { [`up{${at}}`]: '0+0x40' },
    quiet: { [`up{${at}}`]: '1+0x27 0 1+0x10' },
  },
  LivepeerSignerAbsent: { fires: {}, quiet: { [metric('build_info')]: '1+0x40' } },
  LivepeerSignerDefect: {
    fires: { [refusals('INTERNAL')]: '_x25 1+0x15' },
    quiet: { [refusals('INTERNAL')]: '1+0x40', [refusals('PROVIDER_TIMEOUT')]: grows },
  },
  LivepeerSignerRefusingMost: {
    fires: { [refusals('RULE_DENIED')]: grows, [payments]: '0+9x40' },
    quiet: {
      [refusals('RULE_DENIED')]: grows,
      [metric('not_due_total')]: '0+1000x40',
      [payments]: '0+11x40',
    },
  },
  LivepeerSignerSlow: {
    fires: {
      [metric('payment_duration_seconds_bucket', 'le="0.5"')]: '0+90x40',
      [metric('payment_duration_seconds_bucket', 'le="4.5"')]: '0+100x40',
      [metric('payment_duration_seconds_bucket', 'le="+Inf"')]: '0+100x40',
    },
    quiet: {
      [metric('payment_duration_seconds_bucket', 'le="0.5"')]: '0+100x40',
      [metric('payment_duration_seconds_bucket', 'le="4.5"')]: '0+100x40',
      [metric('payment_duration_seconds_bucket', 'le="+Inf"')]: '0+100x40',
    },
  },
  LivepeerSignerOverloaded: refused('SERVER_OVERLOADED'),
  LivepeerSignerDepositLow: raised('deposit_low', sender),
  LivepeerSignerReserveLow: raised('reserve_low', sender),
  LivepeerSignerDepositUnusable: refused('DEPOSIT_EMPTY'),
  LivepeerSignerChainFactsStale: raised('chain_facts_stale', sender),
  LivepeerSignerPriceFeedStale: raised('price_feed_stale', sender),
  LivepeerSignerKeyFailing: {
    fires: { [refusals('PROVIDER_TIMEOUT')]: '0+6x40', [payments]: '0+100x40' },
    quiet: {
      [refusals('PROVIDER_TIMEOUT')]: '0+4x40',
      [refusals('PROVIDER_CLOSED')]: grows,
      [payments]: '0+100x40',
    },
  },
  LivepeerSignerKeyErrors: refused('PROVIDER_UNAVAILABLE', 'PROVIDER_CLOSED'),
  LivepeerSignerKeyThrottled: refused('PROVIDER_THROTTLED', 'PROVIDER_TIMEOUT'),
  LivepeerSignerAuditUnavailable: refused('AUDIT_UNAVAILABLE'),
  LivepeerSignerStoreUnavailable: refused('ANSWERS_UNAVAILABLE', 'AUDIT_UNAVAILABLE'),
  LivepeerSignerSwitchUnavailable: refused('SIGNING_SWITCH_UNAVAILABLE', 'SIGNING_PAUSED'),
  LivepeerSignerPaused: raised('signing_paused', ''),
  LivepeerSignerNoncesWithoutRoom: refused('NONCES_WITHOUT_ROOM', 'NONCES_USED_UP'),
  LivepeerSignerEventsNotDelivered: {
    fires: { [metric('kafka_outbox_healthy', 'sink="kafka"')]: '0+0x40' },
    quiet: { [metric('kafka_outbox_healthy', 'sink="kafka"')]: '0+0x25 1+0x15' },
  },
  LivepeerSignerEventsLate: {
    fires: { [metric('kafka_oldest_event_age_seconds', 'sink="webhook"')]: '3700+60x40' },
    quiet: { [metric('kafka_oldest_event_age_seconds', 'sink="webhook"')]: '1700+60x40' },
  },
  LivepeerSignerEventsFull: refused('EVENTS_UNAVAILABLE', 'AUDIT_UNAVAILABLE'),
  LivepeerSignerEventsStorageErrors: {
    fires: { [metric('kafka_storage_errors_total', 'sink="file"')]: grows },
    quiet: { [metric('kafka_storage_errors_total', 'sink="file"')]: stays },
  },
  LivepeerSignerAuthenticationFailing: refused('AUTH_WEBHOOK_FAILED', 'AUTH_WEBHOOK_REJECTED'),
  LivepeerSignerCredentialsRefused: {
    fires: { [refusals('CREDENTIAL_INVALID')]: '0+70x40' },
    quiet: { [refusals('CREDENTIAL_INVALID')]: '0+50x40' },
  },
  LivepeerSignerWindowExhausted: refused('WINDOW_EXHAUSTED'),
  LivepeerSignerForks: {
    fires: { [metric('forks_total')]: '0+1x40' },
    quiet: { [metric('forks_total')]: '0+0.2x40' },
  },
  LivepeerSignerFileNotInForce: raised('file_not_in_force', 'setting="policy.file"'),
  LivepeerSignerDiscoveryEmpty: {
    fires: {
      [metric('discovery_listed')]: '0+0x40',
      [metric('discovery_asked_total', 'part="terms",outcome="timeout"')]: grows,
    },
    // no discovery is configured
    quiet: { [metric('discovery_listed')]: '0+0x40' },
  },
  LivepeerSignerSlowCurve: {
    fires: { [metric('build_info', 'curve="noble-curves"')]: '1+0x40' },
    quiet: { [metric('build_info', 'curve="libsecp256k1"')]: '1+0x40' },
  },
  LivepeerSignerNotReady: {
    fires: {
      [metric('ready', 'part="key"')]: '0+0x40',
      [metric('ready', 'part="chain"')]: '1+0x40',
    },
    quiet: { [metric('ready', 'part="key"')]: '0+0x26 1+0x15' },
  },
  LivepeerSignerDepositRunsOut: {
    // half an hour of 1e15 wei a minute, seen over six hours: 0.12 ether a day
    fires: {
      [metric('deposit_wei', sender)]: '1e17+0x40',
      [metric('expected_value_wei_total', `${sender},tenant="acme"`)]: '0+6e14x40',
      [metric('expected_value_wei_total', `${sender},tenant="other"`)]: '0+4e14x40',
    },
    quiet: {
      [metric('deposit_wei', sender)]: '5e17+0x40',
      [metric('expected_value_wei_total', `${sender},tenant="acme"`)]: '0+1e15x40',
    },
  },
  LivepeerSignerWindowNearlyExhausted: {
    fires: {
      [metric('window_headroom', window)]: '9+0x40',
      [metric('window_limit', window)]: '100+0x40',
    },
    quiet: {
      [metric('window_headroom', window)]: '11+0x40',
      [metric('window_limit', window)]: '100+0x40',
    },
  },
  LivepeerSignerKeySlow: {
    fires: slow(
      'key_use_duration_seconds',
      'provider="pkcs11",intent="ticket-batch",result="signed"',
    ),
    quiet: slow('key_use_duration_seconds', 'provider="pkcs11",intent="self-test",result="signed"'),
  },
  LivepeerSignerKeyMemberDown: {
    fires: { [metric('key_member_healthy', 'provider="keys.0:aws-kms"')]: '0+0x40' },
    quiet: { [metric('key_member_healthy', 'provider="keys.0:aws-kms"')]: '1+0x40' },
  },
  LivepeerSignerDependencySlow: {
    fires: slow('dependency_duration_seconds', 'dependency="webhook",outcome="ok"'),
    // orchestrators may take their time
    quiet: slow('dependency_duration_seconds', 'dependency="discovery",outcome="ok"'),
  },
  LivepeerSignerEventLoopLate: {
    fires: { [metric('event_loop_lag_seconds', 'quantile="0.99"')]: '0.6+0x40' },
    quiet: {
      [metric('event_loop_lag_seconds', 'quantile="0.99"')]: '0.2+0x40',
      [metric('event_loop_lag_seconds', 'quantile="1"')]: '2+0x40',
    },
  },
  LivepeerSignerWorkersSilent: {
    fires: { [metric('workers', 'state="silent"')]: '1+0x40' },
    quiet: {
      [metric('workers', 'state="silent"')]: '0+0x40',
      [metric('workers', 'state="answering"')]: '2+0x40',
    },
  },
};

const minute = 60;

/** The story, and how many of the alert's instances fire at its half hour. */
function story(name: string, series: Series, isFiring: boolean): object {
  return {
    interval: '1m',
    input_series: Object.entries(series).map(([key, values]) => ({ series: key, values })),
    promql_expr_test: [
      {
        expr: `(count(ALERTS{alertname="${name}",alertstate="firing"}) > bool 0) or vector(0)`,
        eval_time: '30m',
        exp_samples: [{ labels: '{}', value: isFiring ? 1 : 0 }],
      },
    ],
  };
}

function testRules(tests: readonly object[]): ReturnType<typeof promtool> {
  using folder = new Folder();
  const file = folder.write(
    'stories.yaml',
    stringify({ rule_files: [path], evaluation_interval: `${minute}s`, tests }),
  );
  return promtool('test', 'rules', file);
}

describe('deploy/prometheus/alerts.yaml', () => {
  it('is one that Prometheus loads', () => {
    const { status, output } = promtool('check', 'rules', path);
    expect(output).toContain(`SUCCESS: ${alerts.length} rules found`);
    expect(status).toBe(0);
  });

  it('has a story for each alert, and fires in it, and not in the near one', () => {
    expect(Object.keys(cases).toSorted()).toEqual(alerts.map(({ alert }) => alert).toSorted());
    const stories = Object.entries(cases).flatMap(([name, { fires, quiet }]) => [
      story(name, fires, true),
      story(name, quiet, false),
    ]);
    const { status, output } = testRules(stories);
    expect(output).toContain('SUCCESS');
    expect(status).toBe(0);
  });

  it('would be told by a story that is not so', () => {
    const { status } = testRules([story('LivepeerSignerDown', { [`up{${at}}`]: '1+0x40' }, true)]);
    expect(status).not.toBe(0);
  });

  it.each(alerts.map((alert) => [alert.alert, alert] as const))(
    '%s names what exists, a severity, and a part of the runbook',
    (_, { expr, labels, annotations }) => {
      expect(faultsOf(expr)).toEqual([]);
      expect(labels['severity']).toMatch(/^(?:critical|warning|info)$/);
      expect(annotations['summary']).toMatch(/\w/);
      const [file = '', anchor = ''] = (annotations['runbook'] ?? '').split('#');
      expect(file).toBe('docs/runbook.md');
      expect(anchorsOf(readDocument(file))).toContain(anchor);
    },
  );

  it('leaves no part of the runbook without its alert', () => {
    const parts = anchorsOf(readDocument('docs/runbook.md')).filter((anchor) =>
      anchor.startsWith('livepeersigner'),
    );
    expect(parts.toSorted()).toEqual(alerts.map(({ alert }) => alert.toLowerCase()).toSorted());
  });
});

describe('docs/metrics.md', () => {
  it('has each series that the program announces, and no other', () => {
    expect([...documentedSeries().keys()].toSorted()).toEqual(announcedSeries().toSorted());
  });
});

describe('the check of names', () => {
  it('finds a series, a label and a code that there is not', () => {
    expect(faultsOf('rate(livepeer_hsm_signer_paymnts_total[5m])')).toHaveLength(1);
    expect(faultsOf('livepeer_hsm_signer_payments_total{tenant="a"}')).toHaveLength(1);
    expect(
      faultsOf('livepeer_hsm_signer_refusals_total{code=~"INTERNAL|PROVIDER_(TIMEOUT|X)|LATE"}'),
    ).toEqual(['no code LATE']);
  });
});
