import { type CertificateExtension, generate } from 'selfsigned';

/** A certificate with its key, both PEM. */
export type Certificate = { readonly cert: string; readonly key: string };

export type CertificateRequest = {
  /** left out for an empty subject, as SPIFFE's have */
  readonly commonName?: string;
  readonly organization?: string;
  readonly altNames?: readonly { readonly type: 2 | 6 | 7; value?: string; ip?: string }[];
  readonly usage?: 'clientAuth' | 'serverAuth';
  readonly notBefore?: Date;
  readonly notAfter?: Date;
};

/** An authority, itself a certificate, which another one may vouch for. */
export function newAuthority(commonName: string, by?: Certificate): Promise<Certificate> {
  return issue(commonName, undefined, by, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, critical: true },
  ]);
}

/** A certificate that `authority` vouches for, or nobody. */
export function newCertificate(
  authority: Certificate | undefined,
  {
    commonName,
    organization,
    altNames = [],
    usage = 'clientAuth',
    ...validity
  }: CertificateRequest,
): Promise<Certificate> {
  return issue(
    commonName,
    organization,
    authority,
    [
      { name: 'basicConstraints', cA: false },
      { name: 'extKeyUsage', [usage]: true },
      ...(altNames.length > 0
        ? [{ name: 'subjectAltName' as const, altNames: [...altNames] }]
        : []),
    ],
    validity,
  );
}

async function issue(
  commonName: string | undefined,
  organization: string | undefined,
  authority: Certificate | undefined,
  extensions: CertificateExtension[],
  { notBefore, notAfter }: Pick<CertificateRequest, 'notBefore' | 'notAfter'> = {},
): Promise<Certificate> {
  const { cert, private: key } = await generate(
    [
      ...(organization === undefined ? [] : [{ name: 'organizationName', value: organization }]),
      ...(commonName === undefined ? [] : [{ name: 'commonName', value: commonName }]),
    ],
    {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions,
      ...(authority && { ca: authority }),
      ...(notBefore && { notBeforeDate: notBefore }),
      ...(notAfter && { notAfterDate: notAfter }),
    },
  );
  return { cert, key };
}
