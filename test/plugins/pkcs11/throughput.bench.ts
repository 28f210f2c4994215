// Compares the provider with a bare pkcs11js loop on the same SoftHSM token and number of sessions, in turns. Exit code 1
// when the provider's median share of the loop's rate is too small:
//   node test/plugins/pkcs11/throughput.bench.ts [sessions]
import { createRequire } from 'node:module';
import type * as Pkcs11js from 'pkcs11js';
import { plugin } from '../../../plugins/pkcs11/index.ts';
import { Secret } from '../../../src/keys/provider.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js;
const sessions = Number(process.argv[2] ?? 4);
const rounds = 9;
const roundMs = 1_000;
const leastRatio = 0.85;
const digest = Buffer.alloc(32, 7);

/** Signatures a second, with as many calls under way as there are sessions. */
async function measure(signers: readonly (() => Promise<unknown>)[]): Promise<number> {
  const startedAt = performance.now();
  let signatures = 0;
  const sign = async (signer: () => Promise<unknown>): Promise<void> => {
    while (performance.now() - startedAt < roundMs) {
      await signer();
      signatures += 1;
    }
  };
  await Promise.all(signers.map(sign));
  return (1_000 * signatures) / (performance.now() - startedAt);
}

function openBare(hsm: SoftHsm): (() => Promise<unknown>)[] {
  const module = new pkcs11js.PKCS11();
  module.load(hsm.module);
  const slot = module
    .C_GetSlotList(true)
    .find((each) => module.C_GetTokenInfo(each).label.trimEnd() === hsm.tokenLabel);
  if (slot === undefined) throw new Error('the token is gone');
  const handles = Array.from({ length: sessions }, () =>
    module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION),
  );
  return handles.map((session) => {
    module.C_FindObjectsInit(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
    ]);
    const key = module.C_FindObjects(session);
    module.C_FindObjectsFinal(session);
    if (key === null) throw new Error('the key is gone');
    return () => {
      module.C_SignInit(session, { mechanism: pkcs11js.CKM_ECDSA }, key);
      return module.C_SignAsync(session, digest, Buffer.alloc(128));
    };
  });
}

const hsm = createSoftHsm();
try {
  hsm.makeKey({ label: 'payer', id: '01' });
  const config = plugin.configSchema.parse({
    module: hsm.module,
    token: hsm.tokenLabel,
    label: 'payer',
    pin: 'env:PIN',
    sessions,
    environment: { SOFTHSM2_CONF: hsm.configFile },
  });
  const provider = await plugin.open(config, {
    resolvePath: (path) => path,
    readSecret: () => new Secret(hsm.pin),
    log: () => undefined,
  });
  const { signal } = new AbortController();
  const ours = Array.from(
    { length: sessions },
    () => () => provider.signDigest(digest, { signal }),
  );
  const bare = openBare(hsm); // the provider has logged the process in
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const bareRate = await measure(bare);
    const ourRate = await measure(ours);
    ratios.push(ourRate / bareRate);
    console.log(
      `bare ${bareRate.toFixed(0)}/s, provider ${ourRate.toFixed(0)}/s, ratio ${(ourRate / bareRate).toFixed(3)}`,
    );
  }
  const median = ratios.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
  await provider.close();
  process.exitCode = median >= leastRatio ? 0 : 1;
  console.log(
    `median ratio of ${rounds} rounds with ${sessions} sessions, at least ${leastRatio} wanted: ${median.toFixed(3)}`,
  );
} finally {
  hsm.remove();
}
