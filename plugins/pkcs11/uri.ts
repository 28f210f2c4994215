/** What a PKCS#11 URI says, as far as this plugin uses it. Text is decoded; `id` is lower-case hex. */
type Pkcs11Uri = {
  module?: string;
  token?: string;
  serial?: string;
  model?: string;
  manufacturer?: string;
  slot?: number;
  label?: string;
  id?: string;
  /** A secret reference, `file:PATH`. */
  pin?: string;
};

type Reader = (value: string, uri: Pkcs11Uri) => string | undefined;

const text = (value: string): string => decodeURIComponent(value);

const pathAttributes: Readonly<Record<string, Reader>> = {
  token: (value, uri) => void (uri.token = text(value)),
  serial: (value, uri) => void (uri.serial = text(value)),
  model: (value, uri) => void (uri.model = text(value)),
  manufacturer: (value, uri) => void (uri.manufacturer = text(value)),
  object: (value, uri) => void (uri.label = text(value)),
  id: (value, uri) => void (uri.id = percentDecodedHex(value)),
  'slot-id': (value, uri) => {
    if (!/^\d{1,10}$/.test(value)) return 'slot-id must be a decimal number';
    uri.slot = Number(value);
    return undefined;
  },
  type: (value) =>
    value === 'private'
      ? undefined
      : 'type must be "private" or left out: the key that signs is meant',
};

/** What some tokens leave blank; a URI that was printed for such a token says so, and it must match. */
const mayBeEmpty = new Set(['serial', 'model', 'manufacturer']);

const queryAttributes: Readonly<Record<string, Reader>> = {
  'module-path': (value, uri) => void (uri.module = text(value)),
  'pin-source': (value, uri) => {
    const source = text(value);
    if (!/^file:./.test(source)) return 'pin-source must be file:PATH';
    uri.pin = source.replace(/^file:\/\/(?=\/)/, 'file:');
    return undefined;
  },
  'pin-value': () => 'pin-value would put the PIN into the configuration: use pin-source=file:PATH',
};

/**
 * Reads a PKCS#11 URI (RFC 7512). Returns every problem found; an attribute this plugin does not use is a
 * problem too, because ignoring it could select another key. No problem text repeats a value.
 */
export function parsePkcs11Uri(source: string): { uri: Pkcs11Uri; problems: string[] } {
  const uri: Pkcs11Uri = {};
  const scheme = /^pkcs11:/i.exec(source)?.[0];
  if (scheme === undefined) return { uri, problems: ['a PKCS#11 URI starts with "pkcs11:"'] };
  const [path, query] = splitOnce(source.slice(scheme.length), '?');
  const problems = [
    ...readAttributes(path.split(';'), pathAttributes, uri),
    ...readAttributes(query.split('&'), queryAttributes, uri),
  ];
  return { uri, problems };
}

function readAttributes(
  parts: readonly string[],
  readers: Readonly<Record<string, Reader>>,
  uri: Pkcs11Uri,
): string[] {
  const seen = new Set<string>();
  return parts
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [name, value] = splitOnce(part, '=');
      const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
      if (read === undefined) {
        const shown = /^[a-z][a-z-]{0,31}$/.test(name) ? ` ${JSON.stringify(name)}` : '';
        return `an attribute${shown} is not supported here; known: ${Object.keys(readers).join(', ')}`;
      }
      if (seen.has(name)) return `attribute ${name} is given twice`;
      seen.add(name);
      if (value === '' && !mayBeEmpty.has(name)) return `attribute ${name} is empty`;
      try {
        return read(value, uri) ?? [];
      } catch {
        return `attribute ${name} is not percent-encoded UTF-8`;
      }
    });
}

function splitOnce(source: string, separator: string): [string, string] {
  const at = source.indexOf(separator);
  return at < 0 ? [source, ''] : [source.slice(0, at), source.slice(at + separator.length)];
}

function percentDecodedHex(value: string): string {
  const bytes = value.replace(/%([0-9a-fA-F]{2})|([^%])/g, (_, hex?: string, plain?: string) =>
    hex === undefined ? Buffer.from(plain ?? '').toString('hex') : hex.toLowerCase(),
  );
  if (!/^([0-9a-f]{2})+$/.test(bytes)) throw new URIError('malformed percent-encoding');
  return bytes;
}
