import type { X509Certificate } from 'node:crypto';

/** The certificate that a client proved in the TLS handshake to have the key of. */
export type ClientCertificate = {
  /** RFC 4514: the most specific part first, such as `CN=gw,O=Acme`; '' where there is none */
  readonly subject: string;
  /** such as `DNS:gw.acme.example` */
  readonly altNames: readonly string[];
  /** SHA-256, hex digits in pairs */
  readonly fingerprint: string;
  /** Unix milliseconds */
  readonly expiresAtMs: number;
  /** OpenSSL's code for why nobody vouches for it; undefined when somebody does */
  readonly problem: string | undefined;
};

/** What is needed of a certificate. `problem` is what the TLS handshake found wrong with it. */
export function describeCertificate(
  certificate: X509Certificate,
  problem: string | undefined,
): ClientCertificate {
  // what its types don't tell: undefined where the subject is empty, as SPIFFE's are
  const subject = (certificate.subject as string | undefined) ?? '';
  return {
    // Node writes a part a line, the most general first, values escaped as RFC 4514 asks
    subject: subject.split('\n').reverse().join(','),
    altNames: readAltNames(certificate.subjectAltName ?? ''),
    fingerprint: certificate.fingerprint256,
    expiresAtMs: certificate.validToDate.getTime(),
    problem,
  };
}

/** Node quotes values that hold a comma or other special characters, as JSON and with commas escaped. */
function readAltNames(text: string): string[] {
  if (text === '') return [];
  return text
    .split(', ')
    .map((name) => name.replace(/"(?:[^"\\]|\\.)*"/, (quoted) => String(JSON.parse(quoted))));
}
