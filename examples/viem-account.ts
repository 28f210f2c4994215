// A viem account over a key of a provider plugin: signs a message with it, for programs of your own.
//
//   SIGNING_URL=https://signing.internal/payer/ SIGNING_TOKEN=… node examples/viem-account.ts 'hello'
import { Secret } from 'livepeer-hsm-signer/provider';
import { toViemAccount } from 'livepeer-hsm-signer/viem';
import { verifyMessage } from 'viem';
import { plugin } from './key-plugin.ts';

const { SIGNING_URL: url, SIGNING_TOKEN: token = '' } = process.env;
const context = {
  resolvePath: (path: string) => path,
  readSecret: () => new Secret(token),
  log: () => undefined,
};

const provider = await plugin.open(
  plugin.configSchema.parse({ url, token: 'env:SIGNING_TOKEN' }),
  context,
);
const account = await toViemAccount(provider);
const [message = ''] = process.argv.slice(2);
const signature = await account.signMessage({ message });
const { address } = account;
console.log(address, await verifyMessage({ address, message, signature }));
await provider.close();
