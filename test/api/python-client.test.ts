import { execFile } from 'node:child_process';
import { fromBinary } from '@bufbuild/protobuf';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { PaymentSchema } from '../../src/wire/net_pb.ts';
import { KeyFile } from '../auth/auth-world.ts';
import { Folder, root } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { runner, startOrchestrator } from '../discovery/orchestrators.ts';
import { soon } from '../support/soon.ts';
import { startTestSigner } from '../support/test-signer.ts';

const run = promisify(execFile);
const python = join(root, 'test/sdks/python/venv/bin');

const opened = new AsyncDisposableStack();
afterAll(() => opened.disposeAsync());

it('a Python client that is generated from docs/openapi.json signs, pays and discovers', async () => {
  const folder = opened.use(new Folder());
  const config = folder.write('generator.yaml', 'post_hooks: []\n');
  const generated = run(join(python, 'openapi-python-client'), [
    ...['generate', '--meta', 'none', '--fail-on-warning', '--config', config],
    ...['--path', join(root, 'docs/openapi.json'), '--output-path', join(folder.path, 'generated')],
  ]);

  const keys = new KeyFile(folder);
  const key = keys.add({ principal: 'gateway' });
  const orchestrator = await startOrchestrator();
  opened.defer(() => orchestrator.close());
  const signer = await startTestSigner({
    settings: {
      auth: { apiKeys: { file: keys.path }, protectOrchestratorInfo: true, protectDiscovery: true },
      store: { kind: 'embedded' },
      discovery: {
        orchestrators: [orchestrator.url],
        grants: ['127.0.0.0/8'],
        verifyTls: false,
        refreshIntervalMs: 50,
      },
    },
  });
  opened.defer(() => signer.close());
  await soon(async () => {
    const headers = { Authorization: `Bearer ${key}` };
    const answer = await fetch(`${signer.url}/discover-orchestrators`, { headers });
    expect(await answer.text()).toContain('price_info');
  });
  await generated;

  const info = (JSON.parse(payableRequest()) as { orchestrator: string }).orchestrator;
  const program = join(import.meta.dirname, 'python/pay.py');
  const { stdout } = await run(join(python, 'python'), [program, signer.url, key, info], {
    env: { ...process.env, PYTHONPATH: folder.path, PYTHONDONTWRITEBYTECODE: '1' },
  });
  const { payment, ...said } = JSON.parse(stdout) as { payment: string };
  expect(said).toEqual({
    address: signer.checksumAddress,
    is_repeated: true,
    second: 200,
    // examples/README.md tells of it
    not_due: ['482 is not a valid HTTPStatus', 482],
    refused: [400, 'APP_TOO_LONG', expect.stringContaining('255') as string],
    unknown: [401, 'Bearer'],
    runners: [[orchestrator.url, runner.price_info.price, runner.capacity]],
  });
  const tickets = fromBinary(PaymentSchema, Buffer.from(payment, 'base64')).ticketSenderParams;
  expect(tickets.length).toBeGreaterThan(0);
});
