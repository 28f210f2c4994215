const padded = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Whether every character of the text has become one of so many bytes, as it usually is: Node drops what is not base64, takes
 * that of URLs too, and reads U+0141 as U+0041. The pattern takes several times as long.
 */
function isWhole(text: string, length: number): boolean {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const expected = (text.length / 4) * 3 - padding;
  const isAscii = Buffer.byteLength(text) === text.length;
  return length === expected && isAscii && !text.includes('-') && !text.includes('_');
}

/** Standard padded base64 as Go reads it: CR and LF are skipped, anything else odd is undefined. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (isWhole(text, bytes.length)) return new Uint8Array(bytes);
  const compact = text.replace(/[\r\n]/g, '');
  return padded.test(compact) ? new Uint8Array(Buffer.from(compact, 'base64')) : undefined;
}

/** Standard padded base64 without line breaks. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
