/**
 * What may be logged of an error that is not this program's own: its code, or the code of its cause, or else its class. Its
 * message is left out, since libraries quote what they were given, and that may be a secret.
 */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    const { code } = each as NodeJS.ErrnoException;
    if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code)) return code;
  }
  // few classes give their errors a name of their own
  const name = error.name === 'Error' ? error.constructor.name : error.name;
  return /^\w{1,64}$/.test(name) ? name : 'unknown';
}

/** Where an error was thrown, without its message. */
export function framesOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // a message can have lines that look like frames
  const frames = (error.stack ?? '')
    .replace(error.message, '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  return frames.join('\n');
}
