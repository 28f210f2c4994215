import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TestAnswer, TestSigner } from '../support/test-signer.ts';

export type AuditRecord = Readonly<Record<string, unknown>> & { readonly kind: string };

/** The records in all chains of an audit log, as its files have them now; a line that is being written is left out. */
export function readRecords(auditFolder: string): AuditRecord[] {
  if (!existsSync(auditFolder)) return [];
  return readdirSync(auditFolder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .flatMap((name) => readFileSync(join(auditFolder, name), 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line) as AuditRecord);
}

/** The digests of all `key-use` records, as hex. */
export function recordedDigests(auditFolder: string): Set<string> {
  return new Set(
    readRecords(auditFolder)
      .filter(({ kind }) => kind === 'key-use')
      .flatMap(({ digests }) => digests as string[]),
  );
}

/** That the provider was asked for nothing, since the last reset, that is not in the audit log. */
export function expectAllRecorded(signer: TestSigner, auditFolder: string): void {
  const recorded = recordedDigests(auditFolder);
  const unrecorded = signer.key.digests
    .map((digest) => Buffer.from(digest).toString('hex'))
    .filter((digest) => !recorded.has(digest));
  expect(unrecorded).toEqual([]);
}

/** That the answer is of this status, and its log line of this code. */
export function expectFailure(
  signer: TestSigner,
  answer: TestAnswer,
  status: number,
  code: string,
): void {
  const found = signer.logLines.findLast((line) => line['code'] !== undefined);
  expect({ status: answer.status, code: found?.['code'] }).toEqual({ status, code });
}

/** What the operator's `/readyz` says: its status, and the code of each part that has a problem. */
export async function readReadiness(
  signer: Pick<TestSigner, 'adminUrl'>,
): Promise<{ readonly status: number; readonly problems: Readonly<Record<string, string>> }> {
  const response = await fetch(`${signer.adminUrl}/readyz`);
  const { parts } = (await response.json()) as { parts: Record<string, { code?: string }> };
  const problems = Object.entries(parts).flatMap(([part, { code }]) =>
    code === undefined ? [] : [[part, code]],
  );
  return { status: response.status, problems: Object.fromEntries(problems) as never };
}

/** For what a busy machine takes its time for. */
export const patiently = { timeout: 20_000, interval: 25 };
