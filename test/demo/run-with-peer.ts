import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyPeer } from './key-peers.ts';
import { ProcessGroup } from './managed-process.ts';
import { type DemoResult, runDemo } from './run-demo.ts';

/** As in `config/dev.yaml`, so that it is what the sandbox orchestrators believe too. */
const chain = {
  source: 'static',
  l1Block: 20_999_970,
  round: 3800,
  roundBlockHash: '0x7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f',
  deposit: '0.5 ether',
  reserve: '0.5 ether',
};

/** What a demo with one provider came to. */
export type ProviderDemo = { readonly name: string } & (
  | { readonly result: DemoResult }
  /** What went wrong, with what the processes wrote. */
  | { readonly failure: string }
);

/** Starts the peer, runs the demo with its key, and stops the peer. */
export async function runWithPeer(
  start: () => Promise<KeyPeer>,
  paymentsPerSession: number,
): Promise<ProviderDemo> {
  const peer = await start();
  const { name, signerKey } = peer;
  const folder = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-demo-'));
  const processes = new ProcessGroup();
  try {
    const config = join(folder, 'signer.yaml');
    await writeFile(config, JSON.stringify({ keys: [signerKey.key], chain }));
    const { environment } = signerKey;
    const print = (): void => undefined;
    return {
      name,
      result: await runDemo({ config, environment, paymentsPerSession, processes, print }),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { name, failure: `${message}\n${processes.stderr}` };
  } finally {
    await processes.stop();
    await peer.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Every claim that did not hold, or why the demo did not run to its end; empty when all is well. */
export function failuresOf(demo: ProviderDemo): readonly string[] {
  if ('failure' in demo) return [demo.failure];
  return demo.result.expectations.filter(({ holds }) => !holds).map(({ claim }) => claim);
}
