import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

type ManagedProcessOptions = {
  /** For messages: what this process is. */
  readonly name: string;
  /** Arguments to Node: a script and its own arguments. */
  readonly args: readonly string[];
  readonly cwd: string;
  /** Beside this process's own environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What the process prints on stdout once it is ready. */
  readonly ready: RegExp;
};

const startTimeoutMs = 60_000;
const stopTimeoutMs = 5_000;

/** A Node process that is started, waited for, and stopped. */
class ManagedProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  #stdout = '';
  #stderr = '';

  private constructor(options: ManagedProcessOptions) {
    const { name, args, cwd, environment = {} } = options;
    this.#name = name;
    this.#child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.#stdout += chunk.toString('utf8')));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString('utf8')));
  }

  /**
   * Starts the process and waits for its ready line. Returns it with the line's match. Throws Error, with what
   * the process wrote to stderr, if it ends before or takes over 20 s.
   */
  static async start(
    options: ManagedProcessOptions,
  ): Promise<{ process: ManagedProcess; match: RegExpExecArray }> {
    const managed = new ManagedProcess(options);
    try {
      return { process: managed, match: await managed.#waitFor(options.ready) };
    } catch (error) {
      await managed.stop();
      throw error;
    }
  }

  /** Its name and everything that it has written to stderr so far; empty for nothing. */
  get stderr(): string {
    const text = this.#stderr.trimEnd();
    return text === '' ? '' : `What ${this.#name.replace(/^T/, 't')} wrote to stderr:\n${text}\n`;
  }

  /** Asks the process to end, and ends it after 5 s. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs);
    await ended;
    clearTimeout(timer);
  }

  #waitFor(ready: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        clearTimeout(timer);
        const output = [this.#stdout, this.#stderr].map((text) => text.trim()).filter(Boolean);
        reject(new Error([`${this.#name} ${what}`, ...output].join('\n')));
      };
      const timer = setTimeout(() => {
        fail(`was not ready after ${startTimeoutMs / 1000} s`);
      }, startTimeoutMs);
      this.#child.once('error', (error) => {
        fail(`could not be started: ${error.message}`);
      });
      this.#child.once('close', (code, signal) => {
        fail(`ended with ${signal ?? `exit code ${code}`} before it was ready`);
      });
      this.#child.stdout?.on('data', () => {
        const match = ready.exec(this.#stdout);
        if (match === null) return;
        clearTimeout(timer);
        resolve(match);
      });
    });
  }
}

/** The processes that one run needs, ended together. */
export class ProcessGroup {
  readonly #processes: ManagedProcess[] = [];

  /**
   * Starts a process and waits for its ready line. Returns the line's match. Throws Error, with what the process wrote, if
   * it ends before or takes over 20 s.
   */
  async start(options: ManagedProcessOptions): Promise<RegExpExecArray> {
    const { process: started, match } = await ManagedProcess.start(options);
    this.#processes.push(started);
    return match;
  }

  /** What the processes have written to stderr so far, each under its name. */
  get stderr(): string {
    return this.#processes.map(({ stderr }) => stderr).join('');
  }

  /** Ends the processes, and this one with exit code 1, when this one is told to end. */
  stopOnSignals(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        void this.stop().then(() => process.exit(1));
      });
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((each) => each.stop()));
  }
}
