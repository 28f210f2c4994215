// Calls a live runner, which asks to be paid with 402, and prints its answer.
//
//   node examples/runner-call.ts https://orchestrator.example:8935/apps/runner-1/app/ live '{"prompt":"a dragon"}'
import { createSignerClient, payingFetch, type PaymentType } from 'livepeer-remote-signer-client';
import { orchestratorFetch } from 'livepeer-remote-signer-client/node';

const [runner = '', type = 'live', body = '{}'] = process.argv.slice(2);
const { SIGNER_URL: url = 'http://127.0.0.1:7936', SIGNER_KEY: credential = '' } = process.env;

const client = createSignerClient({ url, ...(credential !== '' && { credential }) });
const pay = payingFetch({ client, type: type as PaymentType, fetch: orchestratorFetch });

const answer = await pay(runner, { method: 'POST', body });
console.log(answer.status, await answer.text());
