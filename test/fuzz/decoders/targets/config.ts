import { readFileSync, readdirSync } from 'node:fs';
import { bundledProviders, loadProviderPlugin } from '../../../../plugins/registry.ts';
import { isSameName } from '../../../../src/auth/distinguished-name.ts';
import { checkShape } from '../../../../src/config/check-shape.ts';
import { parsePolicy } from '../../../../src/config/policy-file.ts';
import { configSchema } from '../../../../src/config/schema.ts';
import { parseAmount, parseUsd } from '../../../../src/config/units.ts';
import { parseYaml } from '../../../../src/config/yaml.ts';
import { ConfigError } from '../../../../src/errors.ts';
import { formatDecimal, formatRational, parseRational } from '../../../../src/pm/rational.ts';
import { parseAddress } from '../../../../src/pm/bytes.ts';
import { byocJobFacts } from '../../../../src/policy/rules/facts.ts';
import { decodeBase64, encodeBase64 } from '../../../../src/wire/base64.ts';
import { formatGoTime, parseGoTime } from '../../../../src/wire/go-time.ts';
import {
  type Target,
  attempt,
  expectThat,
  requireSilence,
  requireSilent,
  secret,
  textOf,
} from '../target.ts';

const isConfigError = (error: unknown): boolean => error instanceof ConfigError;

/** The YAML of a document under docs/: sections of configuration as operators write them. */
function examplesOf(name: string): string[] {
  const text = readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = '']) => yaml);
}

/** A file under config/ without its comments. */
function configFile(name: string): string {
  return readFileSync(new URL(`../../../../config/${name}`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join('\n');
}

const documents = readdirSync(new URL('../../../../docs/', import.meta.url)).filter((name) =>
  name.endsWith('.md'),
);

const plugins = await Promise.all(bundledProviders.map((name) => loadProviderPlugin(name)));

const facts = {
  ...byocJobFacts(
    { id: 'gw', tenant: 'acme', attributes: {} },
    [{ capability: 35, model: 'noop' }],
    1n,
  ),
  orchestrator: parseAddress(`0x${'11'.repeat(20)}`),
};

export const configTargets: readonly Target[] = [
  {
    name: 'yaml',
    share: 0.1,
    format: 'yaml',
    files: ['src/config/yaml.ts'],
    seeds: [
      `a: &x {b: 0x12, c: [1, ~, "q"]}\nd: *x\ne: |\n  ${secret}\nf: ${secret}\n`,
      `{"a": [1, -2.5e3, true, null, "\\u00e9"], "b": {"c": {}}}`,
      `key: ${secret}\n  bad: [\n`,
      `? [a]\n: 1\n--- x\n%TAG\n"a": 1\na: 2\n`,
    ],
    words: ['*x', '&x', '<<: *x', '!!int', '---', '...', '%YAML 1.1', '|', '>', "'", secret],
    maxLength: 2048,
    check(input) {
      const text = textOf(input);
      const read = attempt(() => parseYaml(text, 'the file'), isConfigError);
      if ('refusal' in read) requireSilence(read.refusal);
      // JSON is YAML; what is not alike is known: names given twice, numbers past 2^53 and the name __proto__
      const json = attempt(
        () => JSON.parse(text) as unknown,
        (error) => error instanceof SyntaxError,
      );
      if ('refusal' in json || 'refusal' in read) return;
      if (/\d{16}|__proto__|[eE]\+?\d{3}/.test(text)) return;
      expectThat(
        JSON.stringify(json.value) === JSON.stringify(read.value),
        'JSON that is read in another way',
      );
    },
  },
  {
    name: 'policy-yaml',
    share: 0.1,
    format: 'yaml',
    files: [
      ...[
        'src/config/policy-file.ts',
        'src/config/parse-policy-yaml.ts',
        'src/config/policy-schema.ts',
      ],
      ...[
        'src/config/check-shape.ts',
        'src/config/fields.ts',
        'src/config/units.ts',
        'src/policy/rules/compile.ts',
      ],
    ],
    seeds: [
      configFile('policy.yaml'),
      `default: allow\nrules:\n- id: a\n  mode: observe\n  when: {kind: [byocJob], principal: [gw], app: [x], capability: [live-video-to-video/noop], type: [live, fixed], orchestrator: ['0x${'11'.repeat(20)}']}\n  limit: {price: 3.6 usd/hour, faceValue: 5 usd}\n- id: b\n  window: {per: all, every: 30m, ev: 2.5 usd}\n- id: ${secret}\n  then: deny\n  pin: ${secret}\n`,
    ],
    words: ['1 ether', '2.5 gwei', '0.1 usd', '3.6 usd/hour', '12h', '1d', secret],
    maxLength: 3000,
    check(input) {
      const read = attempt(() => parsePolicy(textOf(input), 'policy.yaml'), isConfigError);
      if ('refusal' in read) return;
      const { rules, ruleIds } = read.value;
      expectThat(new Set(ruleIds).size === rules.length, 'two rules of one name');
      for (const { conditions, effect } of rules) {
        for (const { holds } of conditions)
          expectThat(typeof holds(facts) === 'boolean', 'no verdict');
        if (effect.kind === 'window') expectThat(effect.windowMs > 0, 'a window of no time');
      }
    },
  },
  {
    name: 'config-yaml',
    share: 0.1,
    format: 'yaml',
    files: [
      ...[
        'src/config/schema.ts',
        'src/config/fields.ts',
        'src/config/check-shape.ts',
        'src/config/units.ts',
      ],
      ...['src/config/auth-schema.ts', 'src/config/store-schema.ts', 'src/config/prices-schema.ts'],
      ...['src/config/discovery-schema.ts', 'plugins/pkcs11/config.ts'],
      ...['plugins/aws-kms/config.ts', 'plugins/gcp-kms/config.ts'],
    ],
    seeds: [
      ...['dev.yaml', 'aws-kms.yaml', 'gcp-kms.yaml', 'pkcs11.yaml', 'softhsm.yaml'].map(
        configFile,
      ),
      ...documents.flatMap(examplesOf),
      `keys:\n- provider: pkcs11\n  pin: ${secret}\n  uri: pkcs11:token=a?pin-value=${secret}\n${secret}: 1\nauth:\n  webhook:\n    url: https://u:${secret}@h/\n    headers: {Authorization: ${secret}}\nchain:\n  rpcUrls: [https://h/${secret}]\n`,
    ],
    words: [secret, `env:${secret}`, 'env:A', 'file:/a', '127.0.0.1:1', '10.0.0.0/8', '::1', '5s'],
    maxLength: 3000,
    check(input) {
      const document = attempt(() => parseYaml(textOf(input), 'the file'), isConfigError);
      if ('refusal' in document) return;
      const problems: string[] = [];
      const { value } = document;
      checkShape(configSchema, value, [], problems);
      const keys = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : [];
      for (const section of Array.isArray(keys) ? (keys as unknown[]).slice(0, 3) : []) {
        if (typeof section !== 'object' || section === null) continue;
        const { provider, ...rest } = section as { provider?: unknown };
        for (const { name, configSchema: schema } of plugins) {
          if (provider === name) checkShape(schema, rest, ['keys', 0], problems);
        }
      }
      for (const problem of problems) requireSilent(problem);
    },
  },
  {
    name: 'scalars',
    format: 'text',
    files: [
      'src/wire/go-time.ts',
      'src/pm/rational.ts',
      'src/wire/base64.ts',
      'src/config/units.ts',
      'src/auth/distinguished-name.ts',
    ],
    seeds: [
      ...[
        '2026-11-27T01:02:03.000000004+01:00',
        '0001-01-01T00:00:00Z',
        '9999-12-31T23:59:59-24:60',
      ],
      ...[
        '-6/7',
        '1e3',
        '1.5',
        '+.5e-10',
        '0.5 ether',
        '3.6 usd/hour',
        '1 gwei',
        'AQID',
        'AQ==',
        'A\r\nQI=',
      ],
      ...['CN=gw,O=Acme', '/O=Acme/CN=gw', 'O = "A, B" + OU=\\2c\\ , CN = gw'],
    ],
    maxLength: 1100,
    check(input) {
      const text = textOf(input);
      const time = parseGoTime(text);
      if (typeof time === 'bigint') {
        expectThat(
          parseGoTime(formatGoTime(time)) === time,
          'a time that is written in another way',
        );
      }
      const number = parseRational(text);
      if (number) {
        expectThat(number.denominator > 0n, 'a denominator that is not positive');
        const again = parseRational(formatRational(number));
        if (again) {
          expectThat(
            again.numerator * number.denominator === number.numerator * again.denominator,
            'another number',
          );
        }
        formatDecimal(number, 18);
      }
      const bytes = decodeBase64(text);
      if (bytes) {
        expectThat(
          encodeBase64(bytes).replace(/=/g, '').slice(0, -1) ===
            text.replace(/[\r\n=]/g, '').slice(0, -1),
          'bytes that are written in another way',
        );
      }
      expectThat((parseAmount(text) ?? { numerator: 0n }).numerator >= 0n, 'a negative amount');
      expectThat((parseUsd(text)?.usd ?? { numerator: 0n }).numerator >= 0n, 'negative dollars');
      expectThat(isSameName(text, text), 'a name that is not itself');
    },
  },
];
