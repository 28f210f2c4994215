import { afterEach, describe, expect, it, vi } from 'vitest';
import { checksum } from 'ox/Address';
import type { Intent } from '../../src/keys/intents.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { createOrchestratorInfo } from '../../src/payments/sign-orchestrator-info.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { openTestGate, openTestProvider } from '../keys/open-test-gate.ts';
import { vectors } from '../vectors/vectors.ts';

async function open() {
  const state = { isDown: false, asked: [] as Intent[] };
  const { provider, key } = await openTestProvider({
    reply: (bytes) => {
      if (state.isDown) throw new ProviderError('PROVIDER_UNAVAILABLE', 'gone');
      return { encoding: 'raw', bytes };
    },
  });
  const { gate, issue } = await openTestGate(provider);
  key.reset();
  const grantOwn = (intent: Intent) => {
    state.asked.push(intent);
    return issue(intent);
  };
  const info = createOrchestratorInfo(gate, { grantOwn } as unknown as Policy);
  return { state, key, gate, info };
}

describe('who pays, as orchestrators ask to see it', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is signed when it is first asked for, once, in 30 seconds', async () => {
    const timeout = vi.spyOn(AbortSignal, 'timeout');
    const { state, key, gate, info } = await open();
    expect(info.address).toBe(checksum(gate.address));
    expect(key.digests).toEqual([]);
    const expected = JSON.parse(vectors.infoSig.responseBody) as unknown;
    const answers = await Promise.all([info.signed(), info.signed()]);
    expect([...answers, await info.signed()]).toEqual([expected, expected, expected]);
    expect(key.digests).toHaveLength(1);
    expect(state.asked).toEqual([{ kind: 'orchestrator-info', sender: gate.address }]);
    expect(timeout).toHaveBeenCalledWith(30_000);
  });

  it('is asked for again where the key failed', async () => {
    const { state, key, info } = await open();
    state.isDown = true;
    await expect(info.signed()).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    state.isDown = false;
    expect(await info.signed()).toMatchObject({ address: info.address });
    expect(key.digests).toHaveLength(2);
  });

  it('has the key asked for no longer than that', async () => {
    const { key, info } = await open();
    vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort(new Error('too late')));
    await expect(info.signed()).rejects.toThrow();
    expect(key.digests).toEqual([]);
  });
});
