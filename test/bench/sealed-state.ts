import { chooseSecp256k1 } from '../../plugins/local-keystore/secp256k1.ts';
import { publicKeyToAddress, toEthereumSignature } from '../../src/keys/signature.ts';
import { stateDelegationDigest } from '../../src/keys/state-delegation.ts';
import { parseAddress } from '../../src/pm/bytes.ts';
import { startInstanceSeal } from '../../src/session/instance-seal.ts';
import { createSealVerifier } from '../../src/session/seal-verifier.ts';

const privateKey = new Uint8Array(32).fill(1);

/** Sealing a state, and verifying a sealed one, as the signer does it. */
export async function openSeal(state: Uint8Array) {
  const broker = parseAddress(`0x${'11'.repeat(20)}`);
  if (!broker) throw new Error('the address is wrong');
  const secp256k1 = chooseSecp256k1();
  const publicKey = secp256k1.publicKeyOf(privateKey);
  const options = {
    domain: { chainId: 42161, broker },
    clockSkewMs: 1_000,
    now: () => BigInt(Date.now()) * 1_000_000n,
  };
  const seal = await startInstanceSeal({
    ...options,
    signDelegation: (delegation) => {
      const digest = stateDelegationDigest(delegation);
      const signature = { encoding: 'raw', ...secp256k1.sign(digest, privateKey) } as const;
      return Promise.resolve(toEthereumSignature(signature, digest, publicKey));
    },
    log: () => undefined,
  });
  const verify = createSealVerifier({ ...options, sender: publicKeyToAddress(publicKey) });
  const sealed = { state, sig: seal.current()(state) };
  if (!verify(sealed)) throw new Error('the seal does not hold');
  return {
    seal: () => seal.current()(state),
    verify: () => verify(sealed),
    close: () => seal.close(),
  };
}
