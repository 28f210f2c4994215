import type { Format } from './mutate.ts';

/** A decoder under test, with what must hold for whatever it is given. */
export type Target = {
  readonly name: string;
  readonly format: Format;
  /** whose blocks are counted as its coverage */
  readonly files: readonly string[];
  /** inputs to begin with */
  readonly seeds: readonly (Uint8Array | string)[];
  /** words beside those of `files` */
  readonly words?: readonly string[];
  /** bytes; 4,096 unless told */
  readonly maxLength?: number;
  /** of the inputs that were asked for, how many it gets, where each takes long; all unless told */
  readonly share?: number;
  /** blocks that an input may enter for each of its bytes; 500 unless told */
  readonly maxWorkPerByte?: number;
  /** Throws {@link Find}, or anything else that is no refusal. */
  readonly check: (input: Uint8Array) => void | Promise<void>;
  readonly close?: () => Promise<void>;
};

/** What must hold does not. */
export class Find extends Error {}

export function expectThat(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Find(what);
}

/** What the work came to, or how it was refused; an error that is no refusal is a find. */
export function attempt<Value>(
  work: () => Value,
  isRefusal: (error: unknown) => boolean,
): { readonly value: Value } | { readonly refusal: Error } {
  try {
    return { value: work() };
  } catch (error) {
    return { refusal: requireRefusal(error, isRefusal) };
  }
}

export async function attemptLater<Value>(
  work: () => Promise<Value>,
  isRefusal: (error: unknown) => boolean,
): Promise<{ readonly value: Value } | { readonly refusal: Error }> {
  try {
    return { value: await work() };
  } catch (error) {
    return { refusal: requireRefusal(error, isRefusal) };
  }
}

function requireRefusal(error: unknown, isRefusal: (error: unknown) => boolean): Error {
  if (error instanceof Error && isRefusal(error)) return error;
  if (error instanceof Find || !(error instanceof Error)) throw error;
  throw new Find(`no refusal but ${error.name}: ${error.message.slice(0, 200)}`, { cause: error });
}

/** Stands in inputs where a secret would. */
export const secret = 'Tr0ub4dorC4n4ry7f3a9e51d2';

/** Nothing that an operator reads of an error, nor of its causes, repeats a part of the secret. */
export function requireSilence(error: unknown): void {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; depth++) {
    const {
      message,
      details = '',
      data = {},
    } = cause as Error & { details?: string; data?: object };
    requireSilent(`${message} ${details} ${JSON.stringify(data)}`);
    cause = cause.cause;
  }
}

const secretParts = Array.from({ length: secret.length - 9 }, (_, at) => secret.slice(at, at + 10));

export function requireSilent(text: string): void {
  if (secretParts.some((part) => text.includes(part))) throw new Find('a message repeats a secret');
}

const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

export const textOf = (input: Uint8Array): string => lenient.decode(input);
