import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { startGcpKmsWireServer } from '../support/gcp-kms-wire-server.ts';
import { createSoftHsm } from '../support/softhsm.ts';
import { localKeystore } from './signer-process.ts';

/** A key for the signer to use, and what stands in for the device behind it. */
export type Device = {
  readonly name: string;
  /** the `keys` entry of the signer's configuration */
  readonly key: Readonly<Record<string, unknown>>;
  readonly environment?: Record<string, string>;
  /** whether it works with the CPU of the process that calls it, of which it is to have a core of its own */
  readonly needsCore?: boolean;
  readonly close: () => void | Promise<void>;
};

const openers: Readonly<Record<string, (folder: string) => Device | Promise<Device>>> = {
  'local-keystore': () => ({ name: 'local keystore', key: localKeystore, close: () => undefined }),
  pkcs11: openSoftHsm,
  'aws-kms': openAws,
  'gcp-kms': openGcp,
  'delayed-key': openDelayedKey,
};

/** A stand-in shares the cores with whoever loads it. */
const attemptTimeoutMs = 30_000;

/** The providers that there is a device for. */
export const deviceNames: readonly string[] = Object.keys(openers);

/** Starts the device of a provider; `folder` is for its files. Throws for a provider that has none. */
export async function openDevice(provider: string, folder: string): Promise<Device> {
  const open = openers[provider];
  if (!open)
    throw new Error(`there is no device for ${provider}, only for ${deviceNames.join(', ')}`);
  return open(folder);
}

function openSoftHsm(folder: string): Device {
  const hsm = createSoftHsm();
  hsm.makeKey({ label: 'payer', id: '01' });
  writeFileSync(join(folder, 'pin'), hsm.pin);
  return {
    name: 'SoftHSM',
    key: {
      provider: 'pkcs11',
      module: hsm.module,
      token: hsm.tokenLabel,
      label: 'payer',
      pin: 'file:pin',
      environment: { SOFTHSM2_CONF: hsm.configFile },
    },
    needsCore: true,
    close: () => hsm.remove(),
  };
}

async function openAws(): Promise<Device> {
  const server = await AwsKmsWireServer.start();
  const { accessKeyId, secretAccessKey, sessionToken } = server.credentials;
  return {
    name: 'AWS wire server',
    key: {
      provider: 'aws-kms',
      keyId: server.createKey(),
      endpoint: server.endpoint,
      requestsPerSecond: 100_000,
      attemptTimeoutMs,
    },
    environment: {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    },
    close: () => server.close(),
  };
}

async function openGcp(): Promise<Device> {
  const server = await startGcpKmsWireServer();
  return {
    name: 'GCP wire server',
    key: {
      provider: 'gcp-kms',
      keyVersion: server.keyVersion,
      endpoint: server.endpoint,
      insecure: true,
      requestsPerSecond: 100_000,
      attemptTimeoutMs,
    },
    close: () => server.close(),
  };
}

/** A key that takes 20 ms, and as many calls at once as there are. */
function openDelayedKey(): Device {
  return {
    name: 'key of 20 ms',
    key: { provider: join(import.meta.dirname, 'delayed-key.ts'), delayMs: 20, concurrency: 64 },
    close: () => undefined,
  };
}
