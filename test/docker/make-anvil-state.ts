// Makes docker/full/anvil-state.json: a chain with the Livepeer contracts, on which the payer of docker/full has a deposit.
// Run it when the contracts change:
//   node test/docker/make-anvil-state.ts
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parseEther } from 'viem';
import { root } from '../cli/cli.ts';
import { startAnvil } from '../support/anvil.ts';
import { deployLivepeerContracts } from '../support/livepeer-contracts.ts';

type State = {
  readonly best_block_number: number;
  readonly blocks: readonly { readonly header: { readonly number: string } }[];
};

const anvil = await startAnvil();
const contracts = await deployLivepeerContracts(anvil);
const payer = anvil.accounts[9];
if (!payer) throw new Error('the chain has no tenth account');
await contracts.fundFor(payer, parseEther('0.5'), parseEther('0.5'));
const dump = await anvil.client.request<{
  Method: 'anvil_dumpState';
  Parameters: [];
  ReturnType: string;
}>({
  method: 'anvil_dumpState',
  params: [],
});
const state = JSON.parse(gunzipSync(Buffer.from(dump.slice(2), 'hex')).toString('utf8')) as State;
// a chain goes on from its last block, without what was before
const blocks = state.blocks.filter(
  ({ header }) => Number(header.number) === state.best_block_number,
);
const kept = { ...state, blocks, transactions: [] };
writeFileSync(join(root, 'docker/full/anvil-state.json'), `${JSON.stringify(kept)}\n`);
console.log(`controller ${contracts.controller}, payer ${payer}`);
await anvil.stop();
