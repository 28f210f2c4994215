import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
export const program = join(root, 'src/cli/livepeer-hsm-signer.ts');

/** No load balancer stands before a signer of a test, unless the test is about that; its admin listener takes a free port. */
const ofTests = {
  LIVEPEER_HSM_SIGNER__SERVER__LAME_DUCK_MS: '0',
  LIVEPEER_HSM_SIGNER__ADMIN__LISTEN: '127.0.0.1:0',
};

export type Ended = {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** The real program in a process of its own. */
export class Cli {
  readonly child: ChildProcess;
  readonly startedAt = performance.now();
  stdout = '';
  stderr = '';

  /** `script` is the program itself, from the sources unless told otherwise. */
  constructor(
    args: readonly string[],
    environment: Record<string, string> = {},
    script: string = program,
  ) {
    this.child = spawn(process.execPath, [script, ...args], {
      env: { ...process.env, ...(args[0] === 'serve' && ofTests), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
  }

  /** The URL it says it listens on; throws when the program ends instead. */
  async listening(): Promise<string> {
    for (;;) {
      const url = /listening on (\S+) as 0x/.exec(this.stdout)?.[1];
      if (url !== undefined) return url;
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.stderr}`);
      await Promise.race([
        once(this.child.stdout ?? this.child, 'data'),
        once(this.child, 'close'),
      ]);
    }
  }

  /** The URL of its admin listener, as its log has it; throws when the program ends instead. */
  async adminListening(): Promise<string> {
    for (;;) {
      const url = /"url":"([^"]+)","msg":"admin listener"/.exec(this.stderr)?.[1];
      if (url !== undefined) return url;
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.stderr}`);
      await Promise.race([
        once(this.child.stderr ?? this.child, 'data'),
        once(this.child, 'close'),
      ]);
    }
  }

  async ended(): Promise<Ended> {
    if (this.child.stdout?.closed !== true || this.child.exitCode === null) {
      await once(this.child, 'close');
    }
    const { exitCode: status, signalCode: signal } = this.child;
    return { status, signal, stdout: this.stdout, stderr: this.stderr };
  }
}

/** Runs a command to its end. */
export function run(args: readonly string[], environment?: Record<string, string>): Promise<Ended> {
  return new Cli(args, environment).ended();
}

export const devConfig = `keys:
  - provider: local-keystore
    path: keystore
    password: file:password
    generateIfMissing: true
chain:
  source: static
  l1Block: 20999970
  round: 3800
  roundBlockHash: "0x7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f"
  deposit: 0.5 ether
  reserve: 0.5 ether
`;

/** A folder that is removed with the block that uses it. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-'));

  /** Writes a file and returns its path. */
  write(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
