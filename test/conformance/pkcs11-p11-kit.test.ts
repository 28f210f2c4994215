import { afterAll, beforeAll } from 'vitest';
import { openProvider } from '../plugins/pkcs11/open-provider.ts';
import { P11KitServer } from '../support/p11-kit-server.ts';
import { createSoftHsm, type SoftHsm } from '../support/softhsm.ts';
import { testConformance } from './run-cases.ts';

const pin = 'pin-of-the-conformance-token';

let hsm: SoftHsm;
let server: P11KitServer;

beforeAll(async () => {
  hsm = createSoftHsm('livepeer', pin);
  hsm.makeKey({ label: 'payer', id: '01' });
  server = new P11KitServer(hsm);
  await server.start();
});

afterAll(async () => {
  await server.kill();
  hsm.remove();
});

testConformance('pkcs11 (p11-kit)', {
  open: () =>
    openProvider(hsm, { module: server.module, environment: server.environment, sessions: 1 }),
  secrets: [pin],
});
