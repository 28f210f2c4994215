import { expect, it } from 'vitest';
import { keyPeers } from './key-peers.ts';
import { staleAfterPayments } from './run-demo.ts';
import { failuresOf, runWithPeer } from './run-with-peer.ts';

const payments = staleAfterPayments + 1;

it.each([
  ['AWS KMS', 0],
  ['GCP KMS', 1],
  ['SoftHSM', 2],
  ['a remote PKCS#11 module', 3],
] as const)('every payment is accepted with a key in %s', async (_provider, index) => {
  const start = keyPeers('wire server')[index];
  if (start === undefined) throw new Error('there is no such provider');
  expect(failuresOf(await runWithPeer(start, payments))).toEqual([]);
});
