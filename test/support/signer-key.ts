import type { AwsKmsWireServer } from './aws-kms-wire-server.ts';
import type { GcpKmsWireServer } from './gcp-kms-wire-server.ts';
import { createSoftHsm, type SoftHsm } from './softhsm.ts';

/** What a signer needs in order to use a key that a test has made. */
export type SignerKey = {
  /** An entry of `keys` in the signer's configuration. */
  readonly key: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string>>;
  /** What must appear in no output of the signer. */
  readonly secrets: readonly string[];
};

/** A key of the server, reached at `endpoint`, its own where left out. */
export function awsKmsKey(server: AwsKmsWireServer, endpoint = server.endpoint): SignerKey {
  const { accessKeyId, secretAccessKey, sessionToken } = server.credentials;
  return {
    key: { provider: 'aws-kms', keyId: server.createKey(), endpoint },
    environment: {
      ...noAwsFiles,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    },
    secrets: [secretAccessKey, sessionToken],
  };
}

/** Keeps the AWS SDK from this machine's own settings. */
export const noAwsFiles = {
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
} as const;

/** The server's key version, reached at `endpoint`, its own where left out, without a quota to keep. */
export function gcpKmsKey(server: GcpKmsWireServer, endpoint = server.endpoint): SignerKey {
  const { keyVersion } = server;
  return {
    key: { provider: 'gcp-kms', keyVersion, endpoint, insecure: true, requestsPerSecond: 500 },
    environment: {},
    secrets: [],
  };
}

/** A SoftHSM token with the key `payer`. */
export function createTokenWithKey(): SoftHsm {
  const hsm = createSoftHsm('livepeer', 'pin-of-the-test-token');
  hsm.makeKey({ label: 'payer', id: '01' });
  return hsm;
}

/** The token's key, by way of SoftHSM itself or of another library. */
export function pkcs11Key(
  hsm: SoftHsm,
  library: { readonly module: string; readonly environment: Readonly<Record<string, string>> } = {
    module: hsm.module,
    environment: { SOFTHSM2_CONF: hsm.configFile },
  },
): SignerKey {
  const { module, environment } = library;
  const selection = { token: hsm.tokenLabel, label: 'payer', pin: 'env:TEST_TOKEN_PIN' };
  return {
    key: { provider: 'pkcs11', module, environment, ...selection },
    environment: { TEST_TOKEN_PIN: hsm.pin },
    secrets: [hsm.pin],
  };
}
