import { maxUint256 } from '../../src/pm/bytes.ts';
import { buildOrchestrator, uint } from '../payments/request-builder.ts';
import { createRandom } from '../support/random.ts';

// two processes that load one signer must not send the same tickets
const random = createRandom(`paying sessions of process ${process.pid}`);

/** Of one ticket. A hundred are within the default limits of one payment. */
const faceValueWei = 123_456_789_012_345n;
/** As orchestrators have it: any 256-bit number, so that expected values are no whole wei. */
const winProb = maxUint256 / 1_234n - 987_654_321n;

/** Tickets that one set of parameters is used for; from nonce 500 on the signer asks for others. */
const ticketsOfParams = 400;

/**
 * A gateway's session in which each payment takes exactly `tickets` tickets. Cheap to run: a body is put together from text,
 * and of an answer nothing but the state is read.
 */
export class PayingSession {
  readonly #tickets: number;
  readonly #manifestId = random.hex(8);
  #orchestrator = '';
  #ticketsLeft = 0;
  #state = '';

  constructor(tickets: number) {
    this.#tickets = tickets;
  }

  /** The body of the next payment's request. */
  request(): string {
    if (this.#ticketsLeft < this.#tickets) this.#refreshParams();
    return (
      `{"orchestrator":"${this.#orchestrator}","ManifestID":"${this.#manifestId}","type":"fixed"` +
      `${this.#state}}`
    );
  }

  /** Takes the answer to the last request. */
  take(answer: string): void {
    const start = answer.indexOf(',"state":');
    if (start < 0) throw new Error(`no payment: ${answer}`);
    this.#state = answer.slice(start, answer.lastIndexOf('}'));
    this.#ticketsLeft -= this.#tickets;
  }

  #refreshParams(): void {
    const evWei = (faceValueWei * winProb) / maxUint256;
    const orchestrator = buildOrchestrator({
      ticketParams: {
        recipientRandHash: random.bytes(32),
        faceValue: uint(faceValueWei),
        winProb: uint(winProb),
      },
      priceInfo: { pricePerUnit: BigInt(this.#tickets) * evWei, pixelsPerUnit: 1n },
      authToken: { expiration: BigInt(Math.floor(Date.now() / 1000)) + 86_400n },
    });
    this.#orchestrator = Buffer.from(orchestrator).toString('base64');
    this.#ticketsLeft = ticketsOfParams;
  }
}
