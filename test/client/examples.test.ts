import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SandboxServer, startSandboxServer } from '../sandbox-orchestrator/server.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { createRandom } from '../support/random.ts';
import { startTestSigner, type TestSigner, vectorChain } from '../support/test-signer.ts';
import { type BuiltClient, buildClient } from './build-client.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const random = createRandom('client/examples');
const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';
/** The addresses that the examples use. */
const signerUrl = 'http://127.0.0.1:7936';
const orchestratorUrl = 'https://orchestrator.example:8935';

/** What the entry at `file` exports. */
function readExports(file: string): readonly {
  readonly name: string;
  readonly isValue: boolean;
  readonly documentation: string;
  readonly examples: readonly string[];
}[] {
  const path = join(root, 'client/src', file);
  const program = ts.createProgram([path], {
    module: ts.ModuleKind.NodeNext,
    allowImportingTsExtensions: true,
    noEmit: true,
    types: ['node'],
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(path);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${file} is no module`);
  return checker.getExportsOfModule(module).map((exported) => {
    const symbol = checker.getAliasedSymbol(exported);
    const examples = symbol
      .getJsDocTags(checker)
      .filter(({ name }) => name === 'example')
      .flatMap(({ text }) => codeOf(ts.displayPartsToString(text)));
    return {
      name: exported.name,
      isValue: (symbol.flags & ts.SymbolFlags.Value) !== 0,
      documentation: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
      examples,
    };
  });
}

function codeOf(text: string): string[] {
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code);
}

const exported = [...readExports('index.ts'), ...readExports('node.ts')];
const examples = [
  ...codeOf(readFileSync(join(root, 'client/README.md'), 'utf8')).map(
    (code, index) => [`README ${index + 1}`, code] as const,
  ),
  ...exported.flatMap(({ name, examples: own }) => own.map((code) => [name, code] as const)),
];

let client: BuiltClient;
let signer: TestSigner;
let orchestrator: SandboxServer;
let folder: string;

beforeAll(async () => {
  [client, signer] = await Promise.all([buildClient(), startTestSigner()]);
  const world = new SandboxWorld(() => BigInt(Date.now()) * 1_000_000n, {
    l1Block: BigInt(vectorChain.l1Block),
    round: BigInt(vectorChain.round),
    roundBlockHash: Buffer.from(vectorChain.roundBlockHash.slice(2), 'hex'),
    activeOrchestrators: new Set([recipient]),
  });
  orchestrator = await startSandboxServer({
    host: '127.0.0.1',
    port: 0,
    world,
    config: {
      paymentType: 'live',
      address: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
      recipient,
      pricePerUnit: 1_000_000n,
      pixelsPerUnit: 1n,
      ticketEvWei: 5_000_000n,
      faceValueWei: 50_000_000n,
      ticketSecret: random.bytes(32),
      authTokenSecret: random.bytes(32),
    },
  });
  folder = resolve(client.folder, '../../examples');
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const [name, code] of examples) {
    const real = code
      .replaceAll(signerUrl, signer.url)
      .replaceAll(orchestratorUrl, orchestrator.url);
    await writeFile(join(folder, fileOf(name)), real);
  }
});

afterAll(async () => {
  await signer.close();
  await orchestrator.close();
  await client.remove();
});

function fileOf(name: string): string {
  return `${name.replaceAll(' ', '-')}.ts`;
}

describe('what the package exports', () => {
  it.each(exported)('tells what $name is for', ({ documentation, isValue, examples: own }) => {
    expect(documentation).toMatch(/\w.*[.:]/s);
    if (isValue) expect(own).toHaveLength(1);
  });
});

describe('the examples', () => {
  it('are of the types that the package has', async () => {
    const options = {
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: 'es2022',
        module: 'nodenext',
        lib: ['es2022', 'dom'],
        types: ['node'],
        skipLibCheck: false,
      },
      include: ['*.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options));
    const tsc = join(root, 'node_modules/typescript-7/bin/tsc');
    const checked = run(process.execPath, [tsc, '-p', folder]).catch((error: unknown) => error);
    expect(await checked).toMatchObject({ stdout: '' });
  }, 60_000);

  it.each(examples.map(([name]) => name))(
    'of %s does what it says',
    async (name) => {
      const { stdout } = await run(process.execPath, [join(folder, fileOf(name))]);
      expect(stdout).not.toMatch(/\bfalse\b/);
    },
    60_000,
  );

  it('paid the orchestrator, and it refused nothing that they pay', () => {
    const { accounts, rejections } = orchestrator.orchestrator;
    expect(accounts.length).toBeGreaterThan(7);
    expect(rejections).toEqual([]);
  });
});
