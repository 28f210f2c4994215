import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '../support/random.ts';

const random = createRandom('API key of the benchmark');

/** Everything that stands before and behind the key. */
export type GuardedConfig = {
  /** sections of the signer's configuration, as YAML */
  readonly yaml: string;
  /** what requests are authenticated by */
  readonly apiKey: string;
};

/** Rules of the policy file; three of them are windows that each payment counts in. */
const ruleCount = 50;

/**
 * Authentication by API key and the audit log; with rules also 50 of them that all look at each payment, and windows in the
 * embedded ledger. The files go into the folder.
 */
export function writeGuardedConfig(folder: string, { hasRules = true } = {}): GuardedConfig {
  const id = random.hex(8);
  const apiKey = `lhs_${id}_${Buffer.from(random.bytes(32)).toString('base64url')}`;
  const hash = createHash('sha256').update(apiKey).digest('hex');
  writeFileSync(
    join(folder, 'api-keys.yaml'),
    `- { id: ${id}, hash: ${hash}, principal: gateway-1, tenant: acme }\n`,
  );
  writeFileSync(join(folder, 'policy.yaml'), JSON.stringify({ default: 'deny', rules: rules() }));
  const limits = 'policy: { file: policy.yaml }\nstore: { kind: embedded, path: store }\n';
  const yaml = `auth: { apiKeys: { file: api-keys.yaml } }\naudit: { path: audit }\n`;
  return { yaml: hasRules ? yaml + limits : yaml, apiKey };
}

function rules(): object[] {
  const window = { every: '1h', ev: '1000 ether', tickets: 1_000_000_000 };
  const used = [
    { id: 'acme-may-pay', when: { tenant: ['acme'] }, then: 'allow' },
    { id: 'ceilings', limit: { tickets: 100, totalEv: '1 ether', sessionEv: '100 ether' } },
    { id: 'tenant-hourly', window: { per: 'tenant', ...window } },
    { id: 'principal-daily', window: { per: 'principal', ...window, every: '24h' } },
    { id: 'all-hourly', window: { per: 'all', ...window } },
  ];
  const others = Array.from({ length: ruleCount - used.length }, (_, index) => ({
    id: `other-${index}`,
    when: { tenant: [`tenant-${index}`, `tenant-${index}-eu`], type: ['fixed', 'live'] },
    ...(index % 2 === 0 ? { then: 'deny' } : { limit: { tickets: 10 } }),
  }));
  return [...used, ...others];
}
