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
  /** The match of what it prints once it is ready. Rejects, with what it wrote to stderr, if it ends before or takes over a minute. */
  readonly ready: Promise<RegExpExecArray>;
  readonly #child: ChildProcess;
  readonly #name: string;
  #stdout = '';
  #stderr = '';

  constructor(options: ManagedProcessOptions) {
    const { name, args, cwd, environment = {} } = options;
    this.#name = name;
    this.#child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.#stdout += chunk.toString('utf8')));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString('utf8')));
    this.ready = this.#waitFor(options.ready);
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
  readonly #processes = new Set<ManagedProcess>();
  #isStopped = false;

  /**
   * Starts a process and waits for its ready line. Returns the line's match. Throws Error, with what the process wrote, if
   * it ends before or takes over a minute.
   */
  async start(options: ManagedProcessOptions): Promise<RegExpExecArray> {
    if (this.#isStopped) throw new Error(`${options.name} is not started: all have been stopped`);
    const started = new ManagedProcess(options);
    this.#processes.add(started);
    try {
      return await started.ready;
    } catch (error) {
      await started.stop();
      this.#processes.delete(started);
      throw error;
    }
  }

  /** What the processes have written to stderr so far, each under its name. */
  get stderr(): string {
    return [...this.#processes].map(({ stderr }) => stderr).join('');
  }

  /** Ends the processes, and starts no more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#processes].map((each) => each.stop()));
  }
}
