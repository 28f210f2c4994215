import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Cli, Folder, devConfig, root, run } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { gethLight, password as gethPassword } from '../plugins/local-keystore/support.ts';
import { killGroup } from '../support/kill-group.ts';
import { type Treatment, documentedCommands, treatments } from './commands.ts';
import { readDocument } from './markdown.ts';

type Runnable = Extract<Treatment, { run: string }>;

/** Those that run in `npm test`, or in the long run, in the order of the documents. */
export function commandsToRun(
  when: Runnable['run'],
): { readonly command: string; readonly treatment: Runnable }[] {
  return documentedCommands.flatMap(({ command }) => {
    const treatment = treatments[command];
    return treatment && 'run' in treatment && treatment.run === when
      ? [{ command, treatment }]
      : [];
  });
}

/** A yaml block of a document, by a line of it. */
function exampleOf(file: string, line: string): string {
  const blocks = [...readDocument(file).matchAll(/^```yaml\n(.*?)^```$/gms)].map(
    ([, text = '']) => text,
  );
  const found = blocks.find((text) => text.includes(line));
  if (found === undefined) throw new Error(`${file} has no example with ${line}`);
  return found;
}

/** A copy of the repository as it stands, in a folder of its own, where commands are run as a reader would. */
export class Clone {
  readonly path: string;
  readonly data: string;
  readonly #folder = new Folder();
  readonly #environment: Record<string, string>;
  #signer: Cli | undefined;
  /** what stands for the addresses and ids that documents show */
  #places: Record<string, string> = {};

  constructor() {
    const folder = this.#folder.path;
    this.path = join(folder, 'clone');
    this.data = join(folder, 'data');
    const bin = join(folder, 'bin');
    for (const path of [this.path, this.data, bin]) mkdirSync(path, { recursive: true });
    const listed = spawnSync(
      'git',
      ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
      { cwd: root, encoding: 'utf8' },
    );
    for (const file of listed.stdout.split('\0')) {
      // what is deleted is in the index until it is committed
      if (file === '' || !existsSync(join(root, file))) continue;
      mkdirSync(dirname(join(this.path, file)), { recursive: true });
      copyFileSync(join(root, file), join(this.path, file));
    }
    // before the command is installed, the program of the copy stands for it
    const program = join(this.path, 'src/cli/livepeer-hsm-signer.ts');
    writeFileSync(
      join(bin, 'livepeer-hsm-signer'),
      `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`,
    );
    chmodSync(join(bin, 'livepeer-hsm-signer'), 0o755);
    const { PATH = '', ...environment } = process.env;
    this.#environment = {
      ...(environment as Record<string, string>),
      PATH: [join(folder, 'global/bin'), bin, join(root, 'test/deploy/chart/bin'), PATH].join(':'),
      npm_config_prefix: join(folder, 'global'),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      LIVEPEER_HSM_SIGNER__SERVER__LISTEN: '127.0.0.1:0',
      LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: '0',
      LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: '127.0.0.1:0',
    };
  }

  /** Writes the files that the documents name, and starts a signer for the commands that ask one. */
  async startSigner(): Promise<void> {
    const write = (name: string, text: string): void => {
      writeFileSync(join(this.data, name), text, { mode: 0o600 });
    };
    write('password', `${gethPassword}\n`);
    write(
      'import.yaml',
      devConfig
        .replace('    generateIfMissing: true\n', '')
        .replace('path: keystore', 'path: imported'),
    );
    write('geth.json', JSON.stringify(gethLight));
    write('policy.yaml', exampleOf('docs/policy.md', 'gateways-may-pay'));
    write('policy-cases.yaml', exampleOf('docs/policy.md', 'acme may pay'));
    write(
      'policy-signer.yaml',
      `${devConfig}policy: { file: policy.yaml }\nstore: { kind: embedded, path: spending }\n`,
    );
    write('request.json', JSON.stringify({ tenant: 'acme', ticketEv: '3000000000000 wei' }));
    write('no-chain.yaml', devConfig);
    const made = await run(['auth', 'new-key', '--principal', 'gateway-eu-1', '--tenant', 'acme']);
    const [key = ''] = /lhs_\S+/.exec(made.stdout) ?? [];
    write('api-keys.yaml', made.stdout.slice(made.stdout.indexOf('- id:')));
    const audited = `${devConfig}audit: { path: audit }\n`;
    write(
      'explain.yaml',
      `${audited}policy: { file: policy.yaml }\nstore: { kind: embedded, path: spending }\n`,
    );
    const discovered = exampleOf('docs/discovery.md', 'orchestrator.example');
    const config = `${audited}${discovered}${exampleOf('docs/byoc.md', 'enabled')}prices: { maxPrice: { lv2v: 1 wei } }\n`;
    write('signer.yaml', config);
    this.#signer = new Cli([
      'serve',
      '--config',
      join(this.data, 'signer.yaml'),
      '--listen',
      '127.0.0.1:0',
    ]);
    const signer = this.#signer;
    const url = await signer.listening();
    const admin = await signer.adminListening();
    // too dear: a request that is denied, for those that look at one
    const denied = await fetch(`${url}/generate-live-payment`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${key}` },
      body: payableRequest(),
    });
    if (denied.status !== 481) throw new Error(`the request was not denied: ${denied.status}`);
    const records = readFileSync(join(this.data, 'audit/server-1/000001.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const { hash } = JSON.parse(records.at(-1) ?? '') as { hash: string };
    this.#places = {
      '127.0.0.1:7936': new URL(url).host,
      '127.0.0.1:7937': new URL(admin).host,
      REQUEST_ID: denied.headers.get('X-Request-Id') ?? '',
      HASH: hash,
      $KEY: key,
    };
  }

  async remove(): Promise<void> {
    this.#signer?.child.kill('SIGTERM');
    await this.#signer?.ended();
    this.#folder[Symbol.dispose]();
  }

  /** For commands that need no installation of their own. */
  shareNodeModules(): void {
    symlinkSync(join(root, 'node_modules'), join(this.path, 'node_modules'));
  }

  /** Runs a command as it is printed, but for names that stand for the reader's own. */
  async run(
    command: string,
    treatment: Runnable,
  ): Promise<{ readonly status: number | null; readonly output: string }> {
    let text = command;
    for (const [name, here] of Object.entries({ ...treatment.with, ...this.#places })) {
      if (!text.includes(name) && treatment.with?.[name] !== undefined && !(name in devNames))
        throw new Error(`there is no ${name} in ${command}`);
      text = text.replaceAll(name, here.replace(/^(?:DATA|PREFIX)/, this.data));
    }
    const child = spawn('bash', ['-c', text], {
      cwd: this.path,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    const stopped = new AbortController();
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
      if (
        treatment.isEndless !== true ||
        stopped.signal.aborted ||
        treatment.prints?.test(output.trim()) !== true
      )
        return;
      stopped.abort();
      killGroup(child, 'SIGTERM');
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { status: stopped.signal.aborted ? 0 : status, output: output.trim() };
  }
}

/** Placeholders of which a command has some. */
const devNames = { FILE: '', 'signer.yaml': '' };
