import { type Rational, toIntegerText } from './rational.ts';
import { maxWinProb } from './ticket.ts';

/** How often an orchestrator debits a running session, in nanoseconds. */
const debitIntervalNs = 5_000_000_000n;

type Session = {
  readonly startedAtNs: bigint;
  readonly price: Rational;
  readonly unitsPerSecond: bigint;
  debitedUnits: bigint;
  droppedAtNs?: bigint;
};

/**
 * What an orchestrator knows of one (sender, manifest id): credit from tickets, the price fixed by the first
 * payment, and the running session that is debited. All amounts are exact; times are nanoseconds.
 */
export class Account {
  /** Address of the sender, lower-case hex. */
  readonly sender: string;
  readonly manifestId: string;
  /** Wei per unit, from the first payment's expected price. */
  fixedPrice: Rational | undefined;
  acceptedPayments = 0;
  acceptedTickets = 0;
  winningTickets = 0;
  /** Wei times {@link maxWinProb}. */
  #credit = 0n;
  #session: Session | undefined;

  constructor(sender: string, manifestId: string) {
    this.sender = sender;
    this.manifestId = manifestId;
  }

  /** Adds one ticket's expected value, faceValue · winProb / (2^256 − 1) wei. */
  creditTicket(faceValue: bigint, winProb: bigint): void {
    this.#credit += faceValue * winProb;
    this.acceptedTickets += 1;
  }

  /** Sum of the expected values credited so far, in wei. */
  get creditedWei(): Rational {
    return { numerator: this.#credit, denominator: maxWinProb };
  }

  /** Credit less what was debited, in wei. */
  get balanceWei(): Rational {
    return this.#balanceAfter(0n);
  }

  get debitedUnits(): bigint {
    return this.#session?.debitedUnits ?? 0n;
  }

  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  get droppedAtNs(): bigint | undefined {
    return this.#session?.droppedAtNs;
  }

  /** Starts the clock of a session at `price` wei per unit; 0 units per second for one not billed by time. */
  startSession(startedAtNs: bigint, price: Rational, unitsPerSecond: bigint): void {
    this.#session = { startedAtNs, price, unitsPerSecond, debitedUnits: 0n };
  }

  /**
   * Debits the time since the last debit once at least 5 s have passed. Fractions of a unit wait for the next
   * debit. Returns why the session was dropped, if the balance does not cover the fee.
   */
  tick(nowNs: bigint): string | undefined {
    const session = this.#session;
    if (session === undefined || session.droppedAtNs !== undefined) return undefined;
    const { startedAtNs, unitsPerSecond, debitedUnits } = session;
    if (unitsPerSecond === 0n) return undefined;
    const debitedUntilNs = startedAtNs + (debitedUnits * 1_000_000_000n) / unitsPerSecond;
    if (nowNs < debitedUntilNs + debitIntervalNs) return undefined;
    const dueUnits = ((nowNs - startedAtNs) * unitsPerSecond) / 1_000_000_000n - debitedUnits;
    const fault = this.debit(dueUnits);
    if (fault !== undefined) session.droppedAtNs = nowNs;
    return fault;
  }

  /** Takes `units` off at the session's price. Returns the fault, with nothing debited, if the balance is too small. */
  debit(units: bigint): string | undefined {
    const session = this.#session;
    if (session === undefined) throw new Error(`no session for manifest id ${this.manifestId}`);
    if (this.#balanceAfter(units).numerator < 0n) {
      const { numerator, denominator } = session.price;
      const fee = toIntegerText({ numerator: units * numerator, denominator });
      const balance = toIntegerText(this.balanceWei);
      return `insufficient balance, mid=${this.manifestId}, fee=${fee}, balance=${balance}`;
    }
    session.debitedUnits += units;
    return undefined;
  }

  #balanceAfter(units: bigint): Rational {
    if (this.#session === undefined) return this.creditedWei;
    const { price, debitedUnits } = this.#session;
    return {
      numerator:
        this.#credit * price.denominator - (debitedUnits + units) * price.numerator * maxWinProb,
      denominator: price.denominator * maxWinProb,
    };
  }
}
