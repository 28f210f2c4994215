// Started by `throughput.ts`: a key provider without the signer around it. Signs as often as it can, with as many calls under
// way as it is told, and reports signatures a second and the CPU that one took.
import { loadProviderPlugin } from '../../plugins/registry.ts';
import { readSecret } from '../../src/config/secrets.ts';
import { resolve } from 'node:path';

export type BareOrder = {
  readonly provider: string;
  readonly section: unknown;
  readonly folder: string;
  readonly calls: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
};

export type BareReport = { readonly perSecond: number; readonly cpuMicroseconds: number };

async function run(order: BareOrder): Promise<BareReport> {
  const resolvePath = (path: string): string => resolve(order.folder, path);
  const plugin = await loadProviderPlugin(order.provider, { resolvePath });
  const provider = await plugin.open(plugin.configSchema.parse(order.section), {
    resolvePath,
    readSecret: (reference) =>
      readSecret(reference, { setting: 'keys.0', resolvePath, createMissingFiles: false }),
    log: () => undefined,
  });
  const { signal } = new AbortController();
  const signFor = async (durationMs: number): Promise<number> => {
    const endsAtMs = performance.now() + durationMs;
    let signatures = 0;
    const signOn = async (caller: number): Promise<void> => {
      const digest = new Uint8Array(32).fill(caller);
      while (performance.now() < endsAtMs) {
        await provider.signDigest(digest, { signal });
        signatures += 1;
      }
    };
    await Promise.all(Array.from({ length: order.calls }, (_, caller) => signOn(caller)));
    return signatures;
  };
  await signFor(order.warmUpMs);
  const startedAtMs = performance.now();
  const before = process.cpuUsage();
  const signatures = await signFor(order.durationMs);
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - startedAtMs) / 1000;
  await provider.close();
  return { perSecond: signatures / seconds, cpuMicroseconds: (user + system) / signatures };
}

process.once('message', (order: BareOrder) => {
  void run(order).then((report) => process.send?.(report, () => process.disconnect()));
});
