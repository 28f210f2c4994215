const padded = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Standard padded base64 as Go reads it: CR and LF are skipped, anything else odd is undefined. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  // as it is usually written; the pattern takes several times as long
  if (bytes.toString('base64') === text) return new Uint8Array(bytes);
  const compact = text.replace(/[\r\n]/g, '');
  return padded.test(compact) ? new Uint8Array(Buffer.from(compact, 'base64')) : undefined;
}

/** Standard padded base64 without line breaks. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
