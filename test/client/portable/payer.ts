/**
 * Pays a world of the lab `payments` times, from the snapshot in a file where there is one, and prints a line for each snapshot
 * that it wrote.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import {
  createPaymentSession,
  createSignerClient,
  readPaymentChallenge,
  resumePaymentSession,
  type SessionSnapshot,
} from 'livepeer-remote-signer-client';

const [, , world = '', file = '', payments = ''] = process.argv;
const client = createSignerClient({ url: `${world}/signer` });
const ports = {
  client,
  save: (snapshot: SessionSnapshot): void => {
    writeFileSync(`${file}.new`, JSON.stringify(snapshot));
    renameSync(`${file}.new`, file);
    console.log('saved');
  },
};

async function challenge() {
  const { address } = await client.signOrchestratorInfo();
  const url = `${world}/live/apps/runner/session`;
  const headers = { 'Livepeer-Payer-Address': address };
  return readPaymentChallenge(await fetch(url, { method: 'POST', headers }));
}

const session = existsSync(file)
  ? resumePaymentSession({
      ...ports,
      snapshot: JSON.parse(readFileSync(file, 'utf8')) as SessionSnapshot,
    })
  : createPaymentSession({ ...ports, type: 'live', challenge: await challenge() });
for (let paid = 0; paid < Number(payments);) {
  if ((await session.pay()).kind === 'paid') paid += 1;
  await fetch(`${world}/control`, { method: 'POST', body: '{"do":"advance","seconds":5}' });
}
