import { describe, expect, it } from 'vitest';
import type { Caller } from '../../src/auth/authorization.ts';
import { anonymous } from '../../src/auth/principal.ts';
import { SignerError } from '../../src/errors.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import type { Denial } from '../../src/payments/denials.ts';
import type { Senders } from '../../src/payments/senders.ts';
import { signByocJob } from '../../src/payments/sign-byoc-job.ts';
import type { ByocProposal } from '../../src/policy/proposal.ts';
import { never, openTestGate, openTestProvider } from '../keys/open-test-gate.ts';

const job = {
  id: 'job-1',
  capability: 'upscaler',
  request: '{}',
  parameters: '',
  timeoutSeconds: 300,
};
const { timeoutSeconds: timeout_seconds, ...texts } = job;
const body = new TextEncoder().encode(JSON.stringify({ ...texts, timeout_seconds }));
const caller: Caller = {
  headers: new Map(),
  authId: 'acme:alice',
  credentialHash: '',
  principal: anonymous,
};
const refusal = { code: 'RULE_DENIED', data: { ruleId: 'r' } } as const;

/** The service with a policy that says what `verdict` says, and the real gate. */
async function open({
  isDenied = false,
  isKeyDown = false,
  isPaused = false,
  signal = never,
  of = caller,
} = {}) {
  const { provider, key } = await openTestProvider({
    reply: (bytes) => {
      if (isKeyDown) throw new ProviderError('PROVIDER_UNAVAILABLE', 'gone');
      return { encoding: 'raw', bytes };
    },
  });
  const { gate, issue } = await openTestGate(provider);
  key.reset();
  const denials: Denial[] = [];
  const proposals: ByocProposal[] = [];
  let released = 0;
  const allowed = {
    kind: 'allow',
    grant: issue({ kind: 'byoc-job', job }),
    principal: anonymous,
    rules: ['a'],
    observed: [],
    release: () => {
      released += 1;
      return Promise.resolve();
    },
  };
  const decideByocJob = (proposal: ByocProposal, asked: AbortSignal) => {
    expect(asked).toBe(signal);
    proposals.push(proposal);
    return Promise.resolve(isDenied ? { kind: 'deny', refusal, ruleId: 'r' } : allowed);
  };
  const sender = { gate, policy: { decideByocJob }, orchestratorInfo: { address: 'EIP-55' } };
  const service = {
    senders: [sender] as unknown as Senders,
    recordDenial: (denial: Denial) => void denials.push(denial),
    requireSigning: () =>
      isPaused ? Promise.reject(new SignerError('SIGNING_PAUSED', 'paused')) : Promise.resolve(),
    now: () => 5n,
  };
  const sign = () => signByocJob(service, { body, caller: of, requestId: 'request', signal });
  return { sign, key, gate, denials, proposals, allowed, released: () => released };
}

const seen = {
  amounts: { timeoutSeconds: '300' },
  subject: { job: 'job-1', capability: 'upscaler' },
};

describe('a BYOC job', () => {
  it('is decided by policy, and signed by one key call', async () => {
    const { sign, key, denials, proposals, allowed, released } = await open();
    const signed = await sign();
    expect(signed).toEqual({
      sender: 'EIP-55',
      signature: expect.stringMatching(/^0x[0-9a-f]{130}$/) as string,
      job,
      allowed,
    });
    expect(proposals).toEqual([{ requestId: 'request', caller, job, now: 5n }]);
    expect(key.digests).toHaveLength(1);
    expect([denials, released()]).toEqual([[], 0]);
  });

  it('that policy refuses is recorded with who would have paid, and not signed', async () => {
    const { sign, key, gate, denials } = await open({ isDenied: true });
    const error: unknown = await sign().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'RULE_DENIED', data: { ruleId: 'r' } });
    expect(denials).toEqual([{ error, requestId: 'request', caller, sender: gate.address, seen }]);
    expect(key.digests).toEqual([]);
  });

  it('for another key than the principal’s is recorded without a payer', async () => {
    const of: Caller = {
      ...caller,
      headers: new Map([['Livepeer-Payer-Address', [`0x${'11'.repeat(20)}`]]]),
      principal: { id: 'a', tenant: '', attributes: { payer: `0x${'33'.repeat(20)}` } },
    };
    const { sign, denials } = await open({ of });
    await expect(sign()).rejects.toMatchObject({ code: 'CREDENTIAL_NOT_PERMITTED' });
    expect(denials).toMatchObject([{ sender: undefined, caller: of, seen }]);
  });

  it('keeps what was reserved once the key was asked, and gives it back where it was not', async () => {
    const asked = await open({ isKeyDown: true });
    await expect(asked.sign()).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    expect([asked.key.digests.length, asked.released(), asked.denials]).toEqual([1, 0, []]);
    const late = await open({ signal: AbortSignal.abort(new Error('too late')) });
    await expect(late.sign()).rejects.toThrow();
    expect([late.key.digests.length, late.released(), late.denials]).toEqual([0, 1, []]);
  });

  it('is not even read while signing is paused', async () => {
    const { sign, proposals, denials } = await open({ isPaused: true });
    await expect(sign()).rejects.toMatchObject({ code: 'SIGNING_PAUSED' });
    expect([proposals, denials]).toEqual([[], []]);
  });
});
