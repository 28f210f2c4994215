import { expect, it } from 'vitest';
import { Folder, devConfig } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { startAuthWebhook } from '../payments/auth-webhook.ts';
import { SearchableSigner } from '../secrets/searchable-signer.ts';
import { KeyFile } from './auth-world.ts';

it('neither a caller’s API key nor the webhook’s credential is in the heap or in the output', async () => {
  const webhook = await startAuthWebhook();
  try {
    using folder = new Folder();
    const file = new KeyFile(folder);
    const key = file.add({ principal: 'the principal of the key' });
    const credential = 'Bearer a credential that is nowhere else: 5c-d1-0e';
    folder.write('webhook-credential', credential);
    const auth = {
      apiKeys: { file: file.path },
      webhook: { url: webhook.url, headers: { Authorization: 'file:webhook-credential' } },
    };
    const config = folder.write('signer.yaml', `${devConfig}auth: ${JSON.stringify(auth)}\n`);
    using signer = new SearchableSigner(folder, config);
    const url = await signer.cli.listening();
    for (let turn = 0; turn < 3; turn += 1) {
      const { status } = await fetch(`${url}/generate-live-payment`, {
        method: 'POST',
        body: payableRequest(),
        headers: { 'X-Api-Key': key, Connection: 'close' },
      });
      expect(status).toBe(200);
    }
    expect(webhook.asked).toHaveLength(3);
    const texts = { principal: 'the principal of the key', key, credential };
    expect(await signer.findInHeaps(texts)).toEqual(['principal']);
    const output = await signer.stop();
    expect(output).toContain('the principal of the key');
    expect([key.slice(-43), credential].filter((secret) => output.includes(secret))).toEqual([]);
  } finally {
    await webhook.close();
  }
});
