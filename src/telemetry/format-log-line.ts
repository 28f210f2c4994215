const levels: Readonly<Record<number, readonly [name: string, colour: number]>> = {
  20: ['debug', 2],
  30: ['info', 32],
  40: ['WARN', 33],
  50: ['ERROR', 31],
};

/**
 * Formats one of the log's JSON lines for a terminal: time, level, message, then the other fields. Callers chose some of the
 * text, so only visible characters reach the terminal.
 */
export function formatLogLine(line: string, isColoured: boolean): string {
  const paint = (colour: number, text: string): string =>
    isColoured ? `\u001b[${colour}m${text}\u001b[0m` : text;
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const [name, colour] = levels[Number(level)] ?? [String(level), 0];
  const clock = String(time).slice('2026-11-20T'.length, -1);
  const shown = Object.entries(fields)
    .flatMap(([field, value]) => flatten(field, value))
    .map(([field, text]) => `${paint(2, `${field}=`)}${text}`);
  return [paint(2, visible(clock)), paint(colour, name.padEnd(5)), String(msg), ...shown].join(' ');
}

function flatten(field: string, value: unknown): [string, string][] {
  if (value === '' || value === null || value === undefined) return [];
  if (Array.isArray(value)) {
    return value.length === 0 ? [] : [[visible(field), visible(value.map(String).join(','))]];
  }
  if (typeof value === 'object') {
    return Object.entries(value).flatMap(([inner, each]) => flatten(`${field}.${inner}`, each));
  }
  return [[visible(field), visible(typeof value === 'string' ? value : JSON.stringify(value))]];
}

function visible(text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
