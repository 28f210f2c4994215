/** One thing that the client does, in whatever program. */
export type Case = {
  readonly name: string;
  /** `sessions` is how many the largest case pays at once. */
  readonly run: (labUrl: string, sessions: number) => Promise<void>;
};

export type CaseResult = { readonly name: string; readonly failure: string | undefined };

/** A few at a time: most of them wait. */
const lanes = 4;

/** The results in the order of the cases. */
export async function runCases(
  cases: readonly Case[],
  labUrl: string,
  sessions: number,
): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const waiting = cases.entries();
  const work = async (): Promise<void> => {
    for (const [index, { name, run }] of waiting) {
      const failure = await within(run(labUrl, sessions)).then(
        () => undefined,
        (error: unknown) =>
          error instanceof Error ? (error.stack ?? error.message) : String(error),
      );
      results[index] = { name, failure };
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return results;
}

/** Long enough for any case on a busy machine; without it, one that hangs would hide the others. */
const timeLimitMs = 60_000;

async function within(run: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`not done in ${timeLimitMs} ms`);
    timer = setTimeout(() => reject(error), timeLimitMs);
  });
  try {
    await Promise.race([run, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Throws unless both are the same, member by member. */
export function equal(actual: unknown, expected: unknown, what = 'value'): void {
  const [is, shouldBe] = [write(actual), write(expected)];
  if (is !== shouldBe) throw new Error(`${what} is ${is}; it should be ${shouldBe}`);
}

export function ok(holds: boolean, claim: string): void {
  if (!holds) throw new Error(`it does not hold that ${claim}`);
}

/** The error that the promise is rejected with. Throws where it is fulfilled, and where the error is of another kind. */
export async function failure<E extends Error>(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => E,
): Promise<E> {
  const outcome = await promise.then(
    (value: unknown) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in outcome) throw new Error(`it gave ${write(outcome.value)}, and should fail`);
  if (!(outcome.error instanceof kind)) throw outcome.error;
  return outcome.error;
}

function write(value: unknown): string {
  if (value === undefined) return 'undefined';
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === 'bigint') return `${each}n`;
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(
      Object.entries(each).sort(([one], [other]) => (one < other ? -1 : 1)),
    );
  });
}
