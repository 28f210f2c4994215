const padded = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Whether every character of the text was decoded, which the number of bytes shows. Node skips characters that are not base64,
 * also takes the alphabet of URLs, and reads U+0141 as U+0041. Checking with a pattern takes several times as long.
 */
function isWhole(text: string, length: number): boolean {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const expected = (text.length / 4) * 3 - padding;
  const isAscii = Buffer.byteLength(text) === text.length;
  return length === expected && isAscii && !text.includes('-') && !text.includes('_');
}

/** Decodes standard padded base64 as Go does: CR and LF are skipped; undefined for anything else that is not base64. */
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
