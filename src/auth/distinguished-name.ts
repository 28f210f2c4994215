/** The parts of a name, the most specific first; each is a set of `TYPE=value`, sorted. */
type Name = readonly (readonly string[])[];

/**
 * Whether a certificate's subject is the one that was written down, in RFC 4514's form (`CN=gw,O=Acme`) or as openssl prints it
 * (`O = Acme, CN = gw`, `/O=Acme/CN=gw`). Escapes, blanks around `=`, `,` and `+`, and the order of the whole do not matter;
 * values are compared as they are.
 */
export function isSameName(written: string, subject: string): boolean {
  const name = parseName(subject);
  const rule = written.startsWith('/') ? parseName(written.slice(1), '/') : parseName(written);
  if (!name || !rule) return written === subject;
  return isEqual(rule, name) || isEqual(rule.toReversed(), name);
}

function isEqual(one: Name, other: Name): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** undefined for what is no name */
function parseName(text: string, separator = ','): Name | undefined {
  const parts: string[][] = [];
  let part: string[] = [];
  let position = 0;
  for (;;) {
    const assertion = readAssertion(text, position, separator);
    if (!assertion) return undefined;
    part.push(assertion.text);
    position = assertion.end;
    const next = text[position];
    if (next !== '+') {
      parts.push(part.sort());
      part = [];
    }
    if (next === undefined) return parts;
    position += 1;
  }
}

function readAssertion(text: string, start: number, separator: string) {
  const type = /\s*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)\s*=\s*/y;
  type.lastIndex = start;
  const [whole, name = ''] = type.exec(text) ?? [];
  if (whole === undefined) return undefined;
  let position = start + whole.length;
  const bytes: Buffer[] = [];
  /** of the value, up to the last character that is no blank, or was escaped */
  let kept = 0;
  const isQuoted = text[position] === '"';
  if (isQuoted) position += 1;
  for (; position < text.length; position += 1) {
    const character = text[position] ?? '';
    if (isQuoted && character === '"') break;
    if (!isQuoted && (character === separator || character === '+')) break;
    if (character === '\\') {
      const [hex] = /^[0-9A-Fa-f]{2}/.exec(text.slice(position + 1)) ?? [];
      bytes.push(
        hex === undefined ? Buffer.from(text[position + 1] ?? '') : Buffer.from(hex, 'hex'),
      );
      position += hex?.length ?? 1;
      kept = bytes.length;
    } else {
      const [point = ''] = text.slice(position, position + 2);
      bytes.push(Buffer.from(point));
      position += point.length - 1;
      if (isQuoted || character !== ' ') kept = bytes.length;
    }
  }
  if (isQuoted) {
    position += 1;
    while (text[position] === ' ') position += 1;
  }
  const value = Buffer.concat(bytes.slice(0, kept)).toString();
  return { text: `${name.toUpperCase()}=${value}`, end: position };
}
