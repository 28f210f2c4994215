import { devConfig } from '../cli/cli.ts';
import type { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import type { GcpKmsWireServer } from '../support/gcp-kms-wire-server.ts';
import type { SoftHsm } from '../support/softhsm.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A configuration with this key; YAML takes JSON as it is. */
function configOf(key: Fields): string {
  return `keys: [${JSON.stringify(key)}]\n${devConfig.slice(devConfig.indexOf('chain:'))}`;
}

/** The key `payer` in a SoftHSM token, with the PIN in the file `pin` beside the configuration, and with changes. */
export function pkcs11Config(hsm: SoftHsm, changes: Fields = {}): string {
  return configOf({
    provider: 'pkcs11',
    module: hsm.module,
    token: hsm.tokenLabel,
    label: 'payer',
    pin: 'file:pin',
    environment: { SOFTHSM2_CONF: hsm.configFile },
    ...changes,
  });
}

/** A key of the AWS wire server. */
export function awsConfig({ endpoint, region }: AwsKmsWireServer, keyId: string): string {
  return configOf({ provider: 'aws-kms', keyId, region, endpoint });
}

/** What the AWS SDK has to find: the server's credentials and no others of this machine. */
export function awsEnvironment({ credentials }: AwsKmsWireServer): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  };
}

/** A key version of the GCP wire server. */
export function gcpConfig({ endpoint }: GcpKmsWireServer, keyVersion: string): string {
  return configOf({ provider: 'gcp-kms', keyVersion, endpoint, insecure: true });
}
