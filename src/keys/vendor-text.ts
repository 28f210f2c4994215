/** Names of headers and fields whose values are secrets, with the value. */
const named =
  /(?:authorization|x-amz-security-token|(?:access|refresh|id|session|security|bearer|subject|auth)[_-]?token|client[_-]?secret|secret(?:[_-]?access)?[_-]?key|private[_-]?key|api[_-]?key|password|assertion|pin)["']?\s*[:=]\s*["']?[^"',;}\]]+/gi;
const scheme = /\b(bearer|basic|token)\s+\S+/gi;
const pem = /-----BEGIN.*?(?:-----END|$)/gs;
const accessKeyId = /\b(?:AKIA|ASIA)[A-Z0-9]{12,}/g;
/**
 * Runs that are long enough for a token or a key: within the parts of a path or an ARN, with a digit, since names of permissions
 * have none; and whole secret keys in base64, which may hold slashes.
 */
const longRun = /(?=[\w+=~%-]*\d)[\w+=~%-]{20,}|[A-Za-z0-9+/=]{40,}/g;

/**
 * What a vendor's service or library says of a failure, as one line of at most 500 characters for an error's `details`. Services
 * may repeat what they were sent, so everything that may be a token, a key or a password is left out.
 */
export function vendorText(error: unknown): string {
  return (error instanceof Error ? error.message : String(error))
    .slice(0, 2000)
    .replaceAll(pem, '[secret]')
    .replaceAll(/\p{Cc}+/gu, ' ')
    .replaceAll(named, '[secret]')
    .replaceAll(scheme, '$1 [secret]')
    .replaceAll(accessKeyId, '[secret]')
    .replaceAll(longRun, '[secret]')
    .slice(0, 500);
}
