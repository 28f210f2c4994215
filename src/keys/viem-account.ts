import { checksum } from 'ox/Address';
import {
  type Hash,
  type Hex,
  type LocalAccount,
  hashMessage,
  hashTypedData,
  keccak256,
  parseSignature,
  serializeTransaction,
} from 'viem';
import { toAccount } from 'viem/accounts';
import { fromHex, toHex } from '../pm/bytes.ts';
import type { KeyProvider } from './provider.ts';
import { publicKeyToAddress, toEthereumSignature } from './signature.ts';

const signTimeoutMs = 30_000;

/**
 * A viem account over any key provider, for programs of your own: `livepeer-hsm-signer/viem`. Every signature is low-s and proved
 * to be the key's, as behind the signer's gate.
 *
 * It signs whatever your program asks it to, for there is no policy in between. The signer therefore has no use for it: neither
 * the server nor the command line imports this module, and a test holds them to that. They sign through the gate (`gate.ts`)
 * alone, which takes no digests from outside.
 *
 * Throws `ProviderError`; a signature must come within 30 s. Close the provider when the account is not needed any more.
 *
 * @example
 * const provider = await plugin.open(plugin.configSchema.parse(settings), context);
 * const wallet = createWalletClient({ account: await toViemAccount(provider), chain: arbitrum, transport: http() });
 */
export async function toViemAccount(provider: KeyProvider): Promise<LocalAccount> {
  const deadline = () => ({ signal: AbortSignal.timeout(signTimeoutMs) });
  const publicKey = await provider.getPublicKey(deadline());

  async function sign({ hash }: { hash: Hash }): Promise<Hex> {
    const digest = fromHex(hash);
    const reply = await provider.signDigest(digest, deadline());
    return toHex(toEthereumSignature(reply, digest, publicKey));
  }

  return {
    ...toAccount({
      address: checksum(publicKeyToAddress(publicKey)),
      sign,
      signMessage: ({ message }) => sign({ hash: hashMessage(message) }),
      signTypedData: (typedData) => sign({ hash: hashTypedData(typedData) }),
      async signTransaction(transaction, { serializer = serializeTransaction } = {}) {
        const hash = keccak256(await serializer(transaction));
        return serializer(transaction, parseSignature(await sign({ hash })));
      },
    }),
    publicKey: toHex(publicKey),
    source: 'livepeer-hsm-signer',
  };
}
