import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How long an SDK's payment loop waits between two payments in the tests, s; 3 as it is published. */
const interval = '0.05';

const folder = import.meta.dirname;
const drivers = {
  python: [`${folder}/python/venv/bin/python`, `${folder}/python/driver.py`],
  web: [process.execPath, `${folder}/web/driver.js`],
} as const;

export type SdkName = keyof typeof drivers;

/** A program that uses an SDK, and does what it is told. */
export class SdkProcess {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #log: string[] = [];

  constructor(name: SdkName) {
    const [command, program] = drivers[name];
    const child = spawn(command, [program, interval], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stderr.on('data', (chunk: Buffer) => this.#log.push(chunk.toString()));
    this.#process = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** What the SDK gives, as JSON has it. Throws Error with the SDK's message. */
  async do(command: string, options: Record<string, unknown> = {}): Promise<unknown> {
    this.#process.stdin?.write(`${JSON.stringify({ do: command, ...options })}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the SDK's program ended: ${this.#log.join('')}`);
    const { result, error } = JSON.parse(line.value) as { result?: unknown; error?: string };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('close', resolve));
    this.#process.stdin?.end();
    this.#process.kill('SIGTERM');
    await ended;
  }
}
