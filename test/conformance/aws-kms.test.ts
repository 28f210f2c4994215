import { afterAll, beforeAll, vi } from 'vitest';
import type { StartFault } from '../../src/keys/conformance/cases.ts';
import { open, useCredentials } from '../plugins/aws-kms/setup.ts';
import { AwsKmsWireServer, type Fault } from '../support/aws-kms-wire-server.ts';
import { testConformance } from './run-cases.ts';
import { withHighS } from './signatures.ts';

let server: AwsKmsWireServer;
let keyId: string;
let otherKeyId: string;
const secrets: string[] = [];

beforeAll(async () => {
  server = await AwsKmsWireServer.start();
  keyId = server.createKey();
  otherKeyId = server.createKey();
  useCredentials(server.credentials);
  secrets.push(server.credentials.secretAccessKey, server.credentials.sessionToken);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

/** `make` gets a digest and a valid signature over it. */
const whileSigning =
  (make: (digest: Uint8Array, signature: Uint8Array) => Fault): StartFault =>
  (digest) => {
    server.setFault('Sign', make(digest, server.signatureBy(keyId, digest)));
    return Promise.resolve(() => {
      // a fault that changes nothing takes its place
      server.setFault('Sign', { kind: 'delay', ms: 0 }, 1);
      return Promise.resolve();
    });
  };

const reply = (signature: Uint8Array): Fault => ({
  kind: 'reply',
  fields: { Signature: Buffer.from(signature).toString('base64') },
});

testConformance('aws-kms', {
  open: () => open(server, { keyId }),
  secrets,
  faults: {
    'other-key': whileSigning((digest) => reply(server.signatureBy(otherKeyId, digest))),
    'high-s': whileSigning((_, signature) => reply(withHighS(signature))),
    garbage: whileSigning(() => reply(Buffer.from('no signature'))),
    truncated: whileSigning((_, signature) => reply(signature.slice(0, -1))),
    hang: whileSigning(() => ({ kind: 'delay', ms: 10_000 })),
    throttling: whileSigning(() => ({ kind: 'throttle', fraction: 1 })),
    'lost-connection': whileSigning(() => ({ kind: 'connection reset' })),
  },
});
