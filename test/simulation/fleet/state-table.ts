/** 2^27 bits, 16 MiB. */
const bits = 2 ** 27;

/**
 * Counts distinct states by a bit for each of their hashes, which threads may share. What falls together is made up for by how
 * full the table is (linear counting), to a thousandth as long as there are fewer states than bits.
 */
export class StateTable {
  readonly #words: Uint32Array;

  constructor(shared = new SharedArrayBuffer(bits / 8)) {
    this.#words = new Uint32Array(shared);
  }

  get shared(): SharedArrayBuffer {
    return this.#words.buffer as SharedArrayBuffer;
  }

  visit(state: string): void {
    let a = 0x811c9dc5;
    for (let place = 0; place < state.length; place += 1) {
      a = Math.imul(a ^ state.charCodeAt(place), 0x01000193);
    }
    a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d);
    a = Math.imul(a ^ (a >>> 12), 0x297a2d39);
    const bit = (a ^ (a >>> 15)) & (bits - 1);
    Atomics.or(this.#words, bit >>> 5, 1 << (bit & 31));
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
