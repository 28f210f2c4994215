import { isUtf8 } from 'node:buffer';
import { AuthError, WebhookRejectionError } from '../../../../src/auth/authorization.ts';
import { readAnswer } from '../../../../src/auth/webhook.ts';
import { readRunnerDocument } from '../../../../src/discovery/read-runner-document.ts';
import { RequestError } from '../../../../src/errors.ts';
import { OutgoingError } from '../../../../src/outgoing/outgoing-error.ts';
import {
  decodeState,
  encodeExtendedState,
  encodeUpstreamState,
} from '../../../../src/session/state-json.ts';
import { decodeByocJobRequest } from '../../../../src/wire/byoc-job-request.ts';
import { FieldTypeError } from '../../../../src/wire/go-struct.ts';
import {
  JsonSyntaxError,
  type JsonValue,
  formatGoJsonString,
  parseFirstJsonValue,
  parseJson,
} from '../../../../src/wire/json.ts';
import { decodePaymentRequest } from '../../../../src/wire/payment-request.ts';
import { vectors } from '../../../vectors/vectors.ts';
import { Refused, readFields } from '../../judge-body.ts';
import { type Target, attempt, expectThat, textOf } from '../target.ts';

const good = vectors.endToEnd.cases.filter(({ status }) => status === 200);
const bodies = good.map(({ requestBody }) => requestBody);
const states = good.map(({ responseBody }) => {
  const { state } = JSON.parse(responseBody) as { state: { State: string } };
  return Buffer.from(state.State, 'base64').toString();
});

const isSyntaxError = (error: unknown): boolean => error instanceof JsonSyntaxError;

/** The same value by `JSON.parse`, numbers as they are written. */
function parseByNode(text: string): unknown {
  const keepNumber = (_name: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' ? { number: context?.source } : value;
  return JSON.parse(text, keepNumber);
}

/** Of several members with one name the last, as `JSON.parse` has it. */
function collapse(json: JsonValue): unknown {
  switch (json.kind) {
    case 'null':
      return null;
    case 'boolean':
    case 'string':
      return json.value;
    case 'number':
      return { number: json.text };
    case 'array':
      return json.items.map(collapse);
    case 'object':
      return Object.fromEntries(json.members.map(({ key, value }) => [key, collapse(value)]));
  }
}

const plain = (value: unknown): string =>
  JSON.stringify(value, (_name, part: unknown): unknown => {
    if (Array.isArray(part)) return part as unknown;
    if (typeof part === 'string') return part.toWellFormed();
    if (typeof part === 'bigint') return `${part}n`;
    if (part instanceof Uint8Array) return Buffer.from(part).toString('hex');
    if (typeof part !== 'object' || part === null) return part;
    const members = Object.entries(part).map(([name, member]): [string, unknown] => [
      name.toWellFormed(),
      member,
    ]);
    return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)));
  });

/** How many bytes that are no UTF-8 stand for one U+FFFD is no matter here. */
const withoutRuns = (text: string): string => text.replace(/\ufffd+/g, '\ufffd');

export const jsonTargets: readonly Target[] = [
  {
    name: 'json',
    format: 'json',
    files: ['src/wire/json.ts'],
    seeds: [
      '{"a":1,"a":{"b":[true,false,null,"\\u00e9\\n\\ud83c\\udfa5"]},"n":[-0,1.5e+10,9223372036854775807]}',
      ' [ "\\"" , {} , [] ] x',
      ...states,
    ],
    check(input) {
      const ours = attempt(() => parseJson(input), isSyntaxError);
      const first = attempt(() => parseFirstJsonValue(input), isSyntaxError);
      const node = attempt(
        () => parseByNode(textOf(input)),
        (error) => error instanceof SyntaxError,
      );
      if ('refusal' in ours) {
        if (ours.refusal.message !== 'JSON is nested too deeply') {
          expectThat(
            'refusal' in node,
            `refused, yet JSON.parse reads it: ${ours.refusal.message}`,
          );
        }
        return;
      }
      expectThat('value' in node, 'read, yet JSON.parse refuses it');
      expectThat('value' in first, 'the first value can’t be read');
      const read = withoutRuns(plain(collapse(ours.value)));
      expectThat(
        read === withoutRuns(plain(node.value)),
        'read in another way than JSON.parse does',
      );
      expectThat(
        read === withoutRuns(plain(collapse(first.value))),
        'the first value is another one',
      );
      const text = textOf(input);
      const quoted = formatGoJsonString(text);
      expectThat(JSON.parse(quoted) === text, 'text that is written in another way');
      expectThat(!/[<>&\u2028\u2029]/.test(quoted), 'a character that Go escapes');
    },
  },
  {
    name: 'payment-request',
    format: 'json',
    files: [
      ...['src/wire/payment-request.ts', 'src/wire/go-struct.ts', 'src/wire/base64.ts'],
      ...['src/wire/json.ts', 'src/wire/max-price.ts'],
    ],
    seeds: [
      ...bodies.map((body) => body.replace(/"orchestrator":"[^"]{40,}"/, '"orchestrator":"AAEC"')),
      '{"state":{"State":"e30=","Sig":[1,2,255]},"maxPrice":{"price":"1e3","currency":"wei","unit":"seconds"},"inPixels":-5,"gatewayRequestId":"x"}',
    ],
    check(input) {
      const ours = attempt(
        () => decodePaymentRequest(input),
        (error) => error instanceof RequestError && error.code === 'BODY_MALFORMED',
      );
      const judged = attempt(
        () => readFields(input),
        (error) => error instanceof Refused,
      );
      if ('refusal' in ours) {
        expectThat(
          'refusal' in judged,
          `refused, yet it is a body: ${ours.refusal.message.slice(0, 60)}`,
        );
        return;
      }
      if ('refusal' in judged) {
        // null is an empty request, as Go has it, whatever follows it, and is refused for the lack of an orchestrator
        const { message } = judged.refusal;
        const isNull = /^\s*null/.test(textOf(input)) && ours.value.orchestrator.length === 0;
        expectThat(isNull, `read, yet it has ${message}`);
        return;
      }
      const { state, usageLabels, ...request } = ours.value;
      for (const label of Object.values(usageLabels)) {
        expectThat(label.length <= 256, 'a label that is too long');
      }
      const { state: judgedState, ...fields } = judged.value;
      expectThat(
        withoutRuns(plain({ ...request, maxPrice: request.maxPrice ?? null })) ===
          withoutRuns(plain({ ...fields, maxPrice: fields.maxPrice ?? null })),
        'read in another way than the judge reads it',
      );
      expectThat(
        plain(state ?? { sig: new Uint8Array(), state: new Uint8Array() }) ===
          plain({ sig: judgedState.sig, state: judgedState.bytes }),
        'the state is read in another way',
      );
    },
  },
  {
    name: 'byoc-job',
    format: 'json',
    files: ['src/wire/byoc-job-request.ts'],
    seeds: ['{"id":"j","capability":"c","request":"{}","parameters":"","timeout_seconds":30}'],
    check(input) {
      const read = attempt(
        () => decodeByocJobRequest(input),
        (error) => error instanceof RequestError && error.code === 'BODY_MALFORMED',
      );
      if ('refusal' in read) return;
      expectThat(isUtf8(input), 'a body that is no UTF-8');
      const { id, capability, timeoutSeconds } = read.value;
      expectThat(id !== '' && capability !== '', 'an empty name');
      expectThat(timeoutSeconds >= 1 && timeoutSeconds < 2 ** 32, 'a time that is no uint32');
      const body = JSON.parse(textOf(input)) as Record<string, unknown>;
      expectThat(body['request'] === read.value.request, 'another request');
    },
  },
  {
    name: 'state',
    format: 'json',
    files: ['src/session/state-json.ts', 'src/wire/go-time.ts', 'src/pm/rational.ts'],
    seeds: [
      ...states,
      `{"StateID":"1","PMSessionID":"2","LastUpdate":"2026-11-27T01:02:03.000000004+01:00","OrchestratorAddress":"0x${'1a'.repeat(20)}","App":"<a>","AuthExpiry":-1,"SenderNonce":499,"Balance":"-6/4","InitialPricePerUnit":1,"InitialPixelsPerUnit":3,"Type":"live","SequenceNumber":18446744073709551615,"AuthID":"é","Recipient":"0x${'2b'.repeat(20)}","CredentialHash":"c","Principal":"p","StartedAt":5,"SpentEV":"7","WeiPerUSD":"1/3","ManifestIDHash":"d","SegCredsSig":"${Buffer.alloc(65, 7).toString('base64')}"}`,
    ],
    check(input) {
      const read = attempt(
        () => decodeState(input),
        (error) => error instanceof JsonSyntaxError || error instanceof FieldTypeError,
      );
      if ('refusal' in read) return;
      const written = encodeExtendedState(read.value);
      const again = encodeExtendedState(decodeState(Buffer.from(written)));
      expectThat(written === again, 'written in another way the second time');
      expectThat(JSON.parse(written) !== null, 'no JSON');
      const upstream = encodeUpstreamState(read.value);
      expectThat(written.startsWith(upstream.slice(0, -1)), "upstream's members come first");
    },
  },
  {
    name: 'webhook',
    format: 'json',
    files: [
      'src/auth/webhook.ts',
      'src/wire/go-struct.ts',
      'src/wire/max-price.ts',
      'src/auth/principal-name.ts',
    ],
    seeds: [
      '{"status":200,"expiry":1795741200,"auth_id":"acme","maxPrice":{"price":12.5,"currency":"wei","unit":"seconds"}}',
      '{"status":403,"reason":"no","code":"nope"}',
    ],
    check(input) {
      const read = attempt(
        () => readAnswer(input),
        (error) => error instanceof AuthError,
      );
      if ('refusal' in read) {
        if (read.refusal instanceof WebhookRejectionError) {
          const { status, webhookCode = '' } = read.refusal;
          expectThat(status >= 400 && status <= 599, 'a status that is none of a refusal');
          expectThat(webhookCode.length <= 128, 'a code that is too long');
        }
        return;
      }
      expectThat(read.value.expiry <= 100_000_000_000n, 'an expiry in no year');
      const answer = parseByNode(textOf(input)) as Record<string, unknown>;
      const given = Object.entries(answer).filter(([name]) => /^status$/iu.test(name));
      expectThat(
        given.some(([, value]) => plain(value) === '{"number":"200"}') ||
          /"(?:s|\\)/iu.test(textOf(input)),
        'a yes without a status of 200',
      );
      expectThat(given.length > 0, 'a yes without a status');
    },
  },
  {
    name: 'runner-document',
    format: 'json',
    files: ['src/discovery/read-runner-document.ts', 'src/discovery/service-url.ts'],
    seeds: [
      '[{"address":"https://o.example:8935/","runners":[{"url":"https://r.example/x","app":" a ","capacity":2,"capacity_used":1,"capacity_available":1,"gpu":{"id":"0","name":"L4","vram_mb":24000},"version":"1","metadata":"{}","mode":"persistent","price_info":{"price":"12.5e1","currency":"wei","unit":"seconds"}}]}]',
    ],
    check(input) {
      const ceiling = { numerator: 1_000_000n, denominator: 1n };
      const read = attempt(
        () => readRunnerDocument(input, () => ceiling),
        (error) => error instanceof OutgoingError && error.failure === 'malformed',
      );
      if ('refusal' in read) return;
      for (const { address, runners } of read.value) {
        expectThat(/^https?:/i.test(address), 'an address that is no URL');
        for (const runner of runners) {
          const listed = JSON.parse(runner.json) as { price_info: { price: number }; app: string };
          expectThat(listed.app === runner.app && listed.app !== '', 'another app');
          const { price } = listed.price_info;
          expectThat(price > 0 && price <= 1_000_000, 'a price above the ceiling');
          JSON.parse(runner.terms);
        }
      }
    },
  },
];

/** A fault that is none of the product's: an array with an object that has a member, which the seed has not. */
export const plantedTarget: Target = {
  name: 'planted',
  share: 10,
  format: 'json',
  files: ['src/wire/json.ts'],
  seeds: ['[1]'],
  maxLength: 200,
  check(input) {
    const read = attempt(() => parseJson(input), isSyntaxError);
    const items = 'value' in read && read.value.kind === 'array' ? read.value.items : [];
    const isReached = items.some((item) => item.kind === 'object' && item.members.length > 0);
    expectThat(!isReached, 'planted');
  },
};
