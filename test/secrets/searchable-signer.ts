import { once } from 'node:events';
import { createReadStream, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Cli, type Folder } from '../cli/cli.ts';

const preload = new URL('./snapshot-heaps.ts', import.meta.url);

/** A signer that serves, logs all it can, and whose heaps can be searched. It ends with the block that uses it. */
export class SearchableSigner {
  readonly cli: Cli;
  readonly #snapshots: string;

  constructor(folder: Folder, config: string, environment: Record<string, string> = {}) {
    this.#snapshots = join(folder.path, 'snapshots');
    mkdirSync(this.#snapshots);
    this.cli = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], {
      ...environment,
      LIVEPEER_HSM_SIGNER__LOG__LEVEL: 'debug',
      HEAP_SNAPSHOTS: this.#snapshots,
      NODE_OPTIONS: `--import ${preload.href}`,
    });
  }

  /** How many heaps were searched: the main thread's and the workers'. */
  get heaps(): number {
    return readdirSync(this.#snapshots).length;
  }

  /** Of `texts`, by their names, those that are in a string of a heap, of the main thread's or a worker's. */
  async findInHeaps(texts: Readonly<Record<string, string>>): Promise<string[]> {
    this.cli.child.kill('SIGUSR2');
    while (!/^wrote \d+ heap snapshots$/m.test(this.cli.stdout)) {
      await once(this.cli.child.stdout ?? this.cli.child, 'data');
    }
    const found = new Set<string>();
    for (const name of readdirSync(this.#snapshots)) {
      await search(join(this.#snapshots, name), texts, found);
    }
    return [...found].toSorted();
  }

  /** Stops it; what it has printed in all. */
  async stop(): Promise<string> {
    this.cli.child.kill('SIGTERM');
    const { stdout, stderr } = await this.cli.ended();
    return stdout + stderr;
  }

  [Symbol.dispose](): void {
    this.cli.child.kill('SIGKILL');
  }
}

/** A snapshot is JSON with every string of the heap; a text may span two chunks. */
async function search(
  path: string,
  texts: Readonly<Record<string, string>>,
  found: Set<string>,
): Promise<void> {
  const overlap = Math.max(...Object.values(texts).map(({ length }) => length));
  let tail = '';
  for await (const chunk of createReadStream(path, 'latin1')) {
    const window = tail + String(chunk);
    for (const [name, text] of Object.entries(texts)) if (window.includes(text)) found.add(name);
    tail = window.slice(-overlap);
  }
}
