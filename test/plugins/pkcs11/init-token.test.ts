import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const script = join(import.meta.dirname, '../../../softhsm/init-token.sh');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-init-token-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function countTokens(store: string): number {
  const env = { ...process.env, SOFTHSM2_CONF: join(store, 'softhsm2.conf') };
  const slots = execFileSync('softhsm2-util', ['--show-slots'], { env, encoding: 'utf8' });
  return slots.match(/Label: +livepeer/g)?.length ?? 0;
}

it('makes a token whose PIN only its owner can read, and keeps both when run again', () => {
  const store = join(folder, 'a store & more');
  const first = execFileSync('sh', [script, store], { encoding: 'utf8' });
  expect(first).toContain(`made the token livepeer in ${store}`);
  expect(countTokens(store)).toBe(1);
  const pin = readFileSync(join(store, 'pin'), 'utf8');
  expect(pin).toMatch(/^\d{8,16}\n$/);
  expect(statSync(join(store, 'pin')).mode & 0o777).toBe(0o600);
  expect(statSync(store).mode & 0o077).toBe(0);

  const second = execFileSync('sh', [script, store], { encoding: 'utf8' });
  expect(second).not.toContain('made the token');
  expect(second).toContain(`environment.SOFTHSM2_CONF to ${join(store, 'softhsm2.conf')}`);
  expect(countTokens(store)).toBe(1);
  expect(readFileSync(join(store, 'pin'), 'utf8')).toBe(pin);
});
