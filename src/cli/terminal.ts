import { once } from 'node:events';

/** Text for a terminal: callers chose some of it, so only visible characters may reach the terminal. */
export function printable(text: string): string {
  return /^[\x21-\x7e]+$/.test(text) ? text : escapeAll(JSON.stringify(text));
}

/** A message for people: it is quoted only where it has more than visible characters and blanks. */
export function inWords(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : printable(text);
}

/** JSON of visible ASCII characters only; all others are escaped. */
export function toVisibleJson(value: unknown): string {
  return escapeAll(JSON.stringify(value, null, 2));
}

function escapeAll(text: string): string {
  return text.replace(
    /[^\x20-\x7e\n]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Colour = keyof typeof codes;

/** Puts text into a colour, or leaves it as it is. */
export type Painter = (colour: Colour, text: string) => string;

/** Colours are for terminals, and not where `NO_COLOR` is set (no-color.org). */
export function painterFor({ isTTY }: { readonly isTTY?: boolean }): Painter {
  const { NO_COLOR: noColour = '' } = process.env;
  return isTTY === true && noColour === ''
    ? (colour, text) => `\u001b[${codes[colour]}m${text}\u001b[0m`
    : (_colour, text) => text;
}

/** Prints a line, and waits where the reader is slow. */
export async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

/** Ends the program quietly when nobody reads its output any more, as with `| head`. */
export function endWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}
