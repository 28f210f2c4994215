import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** 2^27 bits, 16 MiB. */
const bits = 2 ** 27;

/**
 * Counts distinct states by a bit for each of their hashes, so that the tables of several runs can be put together. What falls
 * together is made up for by how full the table is (linear counting), to a thousandth as long as there are fewer states than
 * bits.
 */
export class StateTable {
  readonly #words = new Uint32Array(bits / 32);

  /** Adds what another run has written there; nothing where there is no such file. */
  addFrom(path: string): void {
    if (!existsSync(path)) return;
    const bytes = readFileSync(path);
    if (bytes.length !== bits / 8) throw new Error(`${path} is no table of states`);
    const words = new Uint32Array(Uint8Array.from(bytes).buffer);
    for (const [place, word] of words.entries()) {
      if (word !== 0) this.#words[place] = (this.#words[place] ?? 0) | word;
    }
  }

  writeTo(path: string): void {
    writeFileSync(path, new Uint8Array(this.#words.buffer));
  }

  visit(state: string): void {
    let a = 0x811c9dc5;
    for (let place = 0; place < state.length; place += 1) {
      a = Math.imul(a ^ state.charCodeAt(place), 0x01000193);
    }
    a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d);
    a = Math.imul(a ^ (a >>> 12), 0x297a2d39);
    const bit = (a ^ (a >>> 15)) & (bits - 1);
    const place = bit >>> 5;
    this.#words[place] = (this.#words[place] ?? 0) | (1 << (bit & 31));
  }

  count(): number {
    let set = 0;
    for (const word of this.#words) {
      let rest = word;
      while (rest !== 0) {
        rest &= rest - 1;
        set += 1;
      }
    }
    return Math.round(-bits * Math.log(1 - set / bits));
  }
}
