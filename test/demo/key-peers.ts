import { KMSClient, CreateKeyCommand } from '@aws-sdk/client-kms';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { startGcpKmsWireServer } from '../support/gcp-kms-wire-server.ts';
import { startLocalKms } from '../support/local-kms.ts';
import { P11KitServer } from '../support/p11-kit-server.ts';
import {
  awsKmsKey,
  createTokenWithKey,
  gcpKmsKey,
  noAwsFiles,
  pkcs11Key,
  type SignerKey,
} from '../support/signer-key.ts';

/** What holds the key of a demo. */
export type KeyPeer = {
  readonly name: string;
  readonly signerKey: SignerKey;
  stop(): Promise<void> | void;
};

/** What plays AWS KMS: an emulator by other people, or a server of the tests that checks request signatures too. */
export type AwsPeer = 'local-kms' | 'wire server';

/** Starters of a peer for each kind of provider. */
export function keyPeers(aws: AwsPeer): readonly (() => Promise<KeyPeer>)[] {
  return [
    aws === 'local-kms' ? startEmulator : startAwsWireServer,
    startGcpWireServer,
    startSoftHsm,
    startP11Kit,
  ];
}

async function startAwsWireServer(): Promise<KeyPeer> {
  const server = await AwsKmsWireServer.start();
  return {
    name: 'aws-kms (wire server)',
    signerKey: awsKmsKey(server),
    stop: () => server.close(),
  };
}

const emulatorCredentials = { accessKeyId: 'AKIAEMULATOR00000000', secretAccessKey: 'emulator' };

async function startEmulator(): Promise<KeyPeer> {
  const { endpoint, region, stop } = await startLocalKms();
  try {
    const { accessKeyId, secretAccessKey } = emulatorCredentials;
    return {
      name: 'aws-kms (local-kms)',
      signerKey: {
        key: { provider: 'aws-kms', keyId: await makeKey(endpoint, region), endpoint },
        environment: {
          ...noAwsFiles,
          AWS_ACCESS_KEY_ID: accessKeyId,
          AWS_SECRET_ACCESS_KEY: secretAccessKey,
        },
        secrets: [],
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function makeKey(endpoint: string, region: string): Promise<string> {
  const client = new KMSClient({
    endpoint,
    region,
    credentials: emulatorCredentials,
  });
  try {
    const { KeyMetadata } = await client.send(
      new CreateKeyCommand({ KeySpec: 'ECC_SECG_P256K1', KeyUsage: 'SIGN_VERIFY' }),
    );
    if (KeyMetadata?.Arn === undefined) throw new Error('local-kms made no key');
    return KeyMetadata.Arn;
  } finally {
    client.destroy();
  }
}

async function startGcpWireServer(): Promise<KeyPeer> {
  const server = await startGcpKmsWireServer();
  return {
    name: 'gcp-kms (wire server)',
    signerKey: gcpKmsKey(server),
    stop: () => server.close(),
  };
}

function startSoftHsm(): Promise<KeyPeer> {
  const hsm = createTokenWithKey();
  return Promise.resolve({
    name: 'pkcs11 (SoftHSM)',
    signerKey: pkcs11Key(hsm),
    stop: () => hsm.remove(),
  });
}

async function startP11Kit(): Promise<KeyPeer> {
  const hsm = createTokenWithKey();
  const server = new P11KitServer(hsm);
  await server.start();
  return {
    name: 'pkcs11 (p11-kit remote)',
    signerKey: pkcs11Key(hsm, server),
    stop: async () => {
      await server.kill();
      hsm.remove();
    },
  };
}
