import { parseEther } from 'viem';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Address } from '../../src/pm/bytes.ts';
import { Folder, run } from '../cli/cli.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { type GcpKmsWireServer, startGcpKmsWireServer } from '../support/gcp-kms-wire-server.ts';
import { type LivepeerContracts, deployLivepeerContracts } from '../support/livepeer-contracts.ts';
import { type SoftHsm, createSoftHsm } from '../support/softhsm.ts';
import { chainSection } from './chain-config.ts';
import { readFunds } from './redemption.ts';

let anvil: Anvil;
let contracts: LivepeerContracts;
let hsm: SoftHsm;
let aws: AwsKmsWireServer;
let awsKeyId: string;
let gcp: GcpKmsWireServer;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
  hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  aws = await AwsKmsWireServer.start();
  awsKeyId = aws.createKey();
  gcp = await startGcpKmsWireServer();
});
afterAll(async () => {
  await anvil.stop();
  hsm.remove();
  await aws.close();
  await gcp.close();
});

type Provider = {
  readonly name: string;
  /** the entry of `keys`, and what the program finds in its environment */
  readonly setUp: (folder: Folder) => { key: string; environment?: Record<string, string> };
  /** signatures that the key was asked for so far */
  readonly signatures?: () => number;
};

const providers: readonly Provider[] = [
  {
    name: 'local-keystore',
    setUp: (folder) => {
      folder.write('password', 'a password');
      return {
        key: '{ provider: local-keystore, path: keystore, password: "file:password", generateIfMissing: true }',
      };
    },
  },
  {
    name: 'pkcs11 (SoftHSM)',
    setUp: () => ({
      key:
        `{ provider: pkcs11, module: ${hsm.module}, token: ${hsm.tokenLabel}, label: payer, pin: "env:TOKEN_PIN", ` +
        `environment: { SOFTHSM2_CONF: ${hsm.configFile} } }`,
      environment: { TOKEN_PIN: hsm.pin },
    }),
  },
  {
    name: 'aws-kms',
    setUp: () => ({
      key: `{ provider: aws-kms, keyId: "${awsKeyId}", endpoint: "${aws.endpoint}" }`,
      environment: {
        AWS_ACCESS_KEY_ID: aws.credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: aws.credentials.secretAccessKey,
        AWS_SESSION_TOKEN: aws.credentials.sessionToken,
        AWS_CONFIG_FILE: '/dev/null',
        AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      },
    }),
    signatures: () => aws.signatures,
  },
  {
    name: 'gcp-kms',
    setUp: () => ({
      key: `{ provider: gcp-kms, keyVersion: "${gcp.keyVersion}", endpoint: "${gcp.endpoint}", insecure: true }`,
    }),
    signatures: () => gcp.signCount,
  },
];

it.each(providers)(
  'a key of $name funds deposit and reserve, and sends nothing in a dry run',
  async ({ setUp, signatures }) => {
    using folder = new Folder();
    const { key, environment } = setUp(folder);
    const config = folder.write(
      'signer.yaml',
      `keys:\n  - ${key}\n${chainSection(anvil, contracts)}`,
    );
    const { client } = anvil;
    const status = await run(['deposit', 'status', '--json', '-c', config], environment);
    expect(status.status).toBe(0);
    const { address } = JSON.parse(status.stdout) as { address: Address };
    const signed = [signatures?.()];
    await anvil.addBalance(address, parseEther('1'));

    const fund = [
      'deposit',
      'fund',
      '--deposit',
      '0.3ether',
      '--reserve',
      '0.2ether',
      '-c',
      config,
    ];
    const block = await client.getBlockNumber();
    const dry = await run([...fund, '--dry-run'], environment);
    expect(dry.status).toBe(0);
    signed.push(signatures?.());
    expect(dry.stdout).toMatch(
      /^call +fundDepositAndReserve, deposit 0.3 ether, reserve 0.2 ether$/m,
    );
    expect(await client.getBlockNumber()).toBe(block);
    expect(await client.getTransactionCount({ address, blockTag: 'pending' })).toBe(0);
    expect(await client.getBalance({ address })).toBe(parseEther('1'));

    const funded = await run([...fund, '--yes'], environment);
    expect(funded.status).toBe(0);
    signed.push(signatures?.());
    expect(await readFunds(anvil, contracts, address)).toEqual({
      deposit: parseEther('0.3'),
      reserve: parseEther('0.2'),
      withdrawRound: 0n,
    });
    const [, hash] = /^sending (0x[0-9a-f]{64})$/m.exec(funded.stdout) ?? [];
    const receipt = await client.getTransactionReceipt({ hash: hash as Address });
    expect(receipt).toMatchObject({
      status: 'success',
      from: address.toLowerCase(),
      type: 'eip1559',
    });
    expect(await client.getBalance({ address })).toBe(
      parseEther('0.5') - receipt.gasUsed * receipt.effectiveGasPrice,
    );
    // nothing for the status, then a self-test each time, and the transaction
    if (signatures) expect(signed).toEqual([0, 1, 3]);
  },
);
