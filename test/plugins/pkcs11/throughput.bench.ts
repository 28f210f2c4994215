// Compares the provider with a bare pkcs11js loop that verifies its signatures too, on the same SoftHSM token and number of
// sessions, in turns: by the CPU time of one signature, all threads of this process together, which other programs change far
// less than the rate. Exit code 1 when the provider's median is too much above the loop's:
//   node test/plugins/pkcs11/throughput.bench.ts [sessions]
import { createRequire } from 'node:module';
import type * as Pkcs11js from 'pkcs11js';
import { plugin } from '../../../plugins/pkcs11/index.ts';
import { Secret } from '../../../src/keys/provider.ts';
import { toEthereumSignature } from '../../../src/keys/signature.ts';
import { createSoftHsm, type SoftHsm } from '../../support/softhsm.ts';

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js;
const sessions = Number(process.argv[2] ?? 4);
const rounds = 9;
const roundMs = 1_000;
const mostRatio = 1.3;
const digest = Buffer.alloc(32, 7);

type Measurement = { readonly cpuMicroseconds: number; readonly perSecond: number };

/** CPU time of one signature, and the rate, with as many calls under way as there are sessions. */
async function measure(signers: readonly (() => Promise<unknown>)[]): Promise<Measurement> {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  let signatures = 0;
  const sign = async (signer: () => Promise<unknown>): Promise<void> => {
    while (performance.now() - startedAt < roundMs) {
      await signer();
      signatures += 1;
    }
  };
  await Promise.all(signers.map(sign));
  const { user, system } = process.cpuUsage(before);
  return {
    cpuMicroseconds: (user + system) / signatures,
    perSecond: (1_000 * signatures) / (performance.now() - startedAt),
  };
}

const describe = ({ cpuMicroseconds, perSecond }: Measurement): string =>
  `${cpuMicroseconds.toFixed(0)} µs CPU (${perSecond.toFixed(0)}/s)`;

function openBare(hsm: SoftHsm, publicKey: Uint8Array): (() => Promise<unknown>)[] {
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
    return async () => {
      module.C_SignInit(session, { mechanism: pkcs11js.CKM_ECDSA }, key);
      const bytes = await module.C_SignAsync(session, digest, Buffer.alloc(128));
      return toEthereumSignature({ encoding: 'raw', bytes }, digest, publicKey);
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
  const bare = openBare(hsm, await provider.getPublicKey({ signal })); // the provider has logged the process in
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const [base, own] = [await measure(bare), await measure(ours)];
    const ratio = own.cpuMicroseconds / base.cpuMicroseconds;
    ratios.push(ratio);
    console.log(`bare ${describe(base)}, provider ${describe(own)}, ratio ${ratio.toFixed(3)}`);
  }
  const median = ratios.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Infinity;
  await provider.close();
  process.exitCode = median <= mostRatio ? 0 : 1;
  console.log(
    `median ratio of ${rounds} rounds with ${sessions} sessions, at most ${mostRatio.toFixed(2)} wanted: ${median.toFixed(3)}`,
  );
} finally {
  hsm.remove();
}
