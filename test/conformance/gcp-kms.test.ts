import { afterAll, beforeAll } from 'vitest';
import type { StartFault } from '../../src/keys/conformance/cases.ts';
import { openKey } from '../plugins/gcp-kms/open-key.ts';
import {
  type GcpKmsWireServer,
  type KmsFaults,
  startGcpKmsWireServer,
} from '../support/gcp-kms-wire-server.ts';
import { testConformance } from './run-cases.ts';
import { createRandom } from '../support/random.ts';

const privateKey = createRandom('key in GCP KMS').privateKey();
let server: GcpKmsWireServer;

beforeAll(async () => {
  server = await startGcpKmsWireServer({ privateKey });
});

afterAll(() => server.close());

const during =
  (start: () => void, stop: () => void): StartFault =>
  () => {
    start();
    return Promise.resolve(() => {
      stop();
      return Promise.resolve();
    });
  };

const fault = (name: keyof KmsFaults): StartFault =>
  during(
    () => (server.faults[name] = Infinity),
    () => (server.faults[name] = 0),
  );

testConformance('gcp-kms', {
  open: () => openKey(server),
  secrets: [Buffer.from(privateKey).toString('hex')],
  faults: {
    'other-key': fault('wrongKey'),
    'high-s': fault('highS'),
    garbage: fault('malformedDer'),
    hang: during(
      () => (server.delayMs = 10_000),
      () => (server.delayMs = 0),
    ),
    throttling: during(
      () => (server.throttledShare = 1),
      () => (server.throttledShare = 0),
    ),
    'lost-connection': fault('dropConnection'),
  },
});
