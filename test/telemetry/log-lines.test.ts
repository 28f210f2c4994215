import { expect, it } from 'vitest';
import { formatRecord } from '../../src/cli/audit-format.ts';
import { painterFor } from '../../src/cli/terminal.ts';
import { factsOfRecord } from '../../src/cli/recorded.ts';
import { tellStory } from '../../src/cli/audit-story.ts';
import { formatLogLine } from '../../src/telemetry/format-log-line.ts';

const hostile = 'a\u001b]0;x\u0007\u009b2J\u202e b';
const record = {
  seq: 7,
  time: '2026-11-26T22:44:50.150Z',
  prev: '0'.repeat(64),
  kind: 'denied',
  request: 'ab'.repeat(16),
  principal: hostile,
  tenant: '',
  code: 'PRICE_ABOVE_CEILING',
  data: { actual: '7/2', maximum: '3', source: 'request maxPrice' },
  message: 'orchestrator price 3.500 exceeds request maxPrice ceiling 3.000',
  subject: { orchestrator: `0x${'11'.repeat(20)}` },
  hash: '1'.repeat(64),
};

// eslint-disable-next-line no-control-regex -- what a terminal is told
const colours = /\u001b\[\d+m/g;

it('shows a log line to people, with nothing in it that acts on a terminal', () => {
  const line = JSON.stringify({
    level: 40,
    time: '2026-11-26T22:44:50.150Z',
    worker: 2,
    code: hostile,
    data: { rules: ['a', 'b'], ruleId: 'day', none: null },
    msg: 'signing is stopped',
  });
  expect(formatLogLine(line, false)).toBe(
    '22:44:50.150 WARN  signing is stopped worker=2 code="a\\u001b]0;x\\u0007\\u009b2J\\u202e b" data.rules=a,b data.ruleId=day',
  );
  const coloured = formatLogLine(line, true);
  expect(coloured).toContain('\u001b[33mWARN \u001b[0m');
  expect(coloured.replace(colours, '')).toBe(formatLogLine(line, false));
});

it('shows a record on a terminal in columns and colours, unless NO_COLOR is set', () => {
  const paint = painterFor({ isTTY: true });
  const coloured = formatRecord('server-1', record, paint);
  expect(coloured).toContain('\u001b[33mdenied   \u001b[0m');
  const plain = coloured.replace(colours, '');
  expect(plain).toMatch(/^2026-11-26T22:44:50\.150Z server-1#7 {5}denied {4}request=/);
  expect(plain).not.toMatch(/[^\x20-\x7e]/);
  process.env['NO_COLOR'] = '1';
  try {
    expect(formatRecord('server-1', record, painterFor({ isTTY: true }))).toBe(plain);
  } finally {
    delete process.env['NO_COLOR'];
  }
});

it('tells what a denial of an earlier release has, and that it can’t be judged anew', () => {
  const story = new Map(tellStory({ records: [{ chain: 'server-1', record }], broken: [] }, []));
  expect(story.get('outcome')).toBe('denied: nothing was signed');
  expect(story.get('in numbers')).toBe('found 3.500, allowed 3');
  expect(story.get('orchestrator')).toBe('0x1111111111111111111111111111111111111111');
  expect([...story.values()].join('\n')).not.toMatch(/[^\x20-\x7e\n]/);
  expect(factsOfRecord(record)).toContain('written by an earlier release');
});
