import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { StartFault } from '../../src/keys/conformance/cases.ts';
import { openProvider } from '../plugins/pkcs11/open-provider.ts';
import { createFaultyModule, type FaultyModule } from '../support/pkcs11-faults.ts';
import { createSoftHsm, type SoftHsm } from '../support/softhsm.ts';
import { testConformance } from './run-cases.ts';

const pin = 'pin-of-the-conformance-token';
const CKR_DEVICE_REMOVED = 0x32;

let hsm: SoftHsm;
let device: FaultyModule;

beforeAll(() => {
  hsm = createSoftHsm('livepeer', pin);
  hsm.makeKey({ label: 'payer', id: '01' });
  device = createFaultyModule(hsm);
});

beforeEach(() => device.reset());

afterAll(() => hsm.remove());

const during =
  (start: () => void): StartFault =>
  () => {
    start();
    return Promise.resolve(() => {
      device.reset();
      return Promise.resolve();
    });
  };

testConformance('pkcs11 (SoftHSM)', {
  open: () =>
    openProvider(hsm, { module: device.module, environment: device.environment, sessions: 2 }),
  secrets: [pin],
  faults: {
    hang: during(() => device.set('signDelayMs', 1200)),
    'lost-connection': during(() => device.fail('C_Sign', CKR_DEVICE_REMOVED, 1_000_000)),
  },
});
