import { EventEmitter } from 'node:events';
import {
  type LedgerBatch,
  LedgerFileDesk,
} from '../../../src/policy/limits/embedded/ledger-file-desk.ts';
import type { Draw } from './draw.ts';
import type { Kernel } from './kernel.ts';

/** The thread of the spend ledger: its messages take their time, and its work is done at one moment of it. */
export class SimulatedThread extends EventEmitter {
  readonly #desk: LedgerFileDesk;
  readonly #kernel: Kernel;
  readonly #draw: Draw;
  #hasEnded = false;

  constructor(folder: string, kernel: Kernel, draw: Draw) {
    super();
    this.#desk = new LedgerFileDesk(folder);
    this.#kernel = kernel;
    this.#draw = draw;
  }

  postMessage(message: LedgerBatch | 'close'): void {
    this.#kernel.after(20 + this.#draw.int(3_000), () => {
      if (this.#hasEnded) return;
      if (message === 'close') {
        this.#desk.close();
        this.end();
        return;
      }
      const reply = this.#desk.answer(message);
      this.#kernel.after(20 + this.#draw.int(1_000), () => {
        if (!this.#hasEnded) this.emit('message', reply);
      });
    });
  }

  terminate(): Promise<number> {
    this.end();
    return Promise.resolve(0);
  }

  /** It ends without a word, whatever it was doing. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#kernel.after(10, () => this.emit('exit', 0));
  }
}
