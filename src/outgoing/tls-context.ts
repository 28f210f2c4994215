import { type SecureContext, createSecureContext } from 'node:tls';

let context: SecureContext | undefined;

/**
 * Node's own TLS settings, with the authorities that this machine trusts. It is shared by all connections: each would otherwise
 * read the authorities again, which delays all other work of the process.
 */
export function sharedTlsContext(): SecureContext {
  return (context ??= createSecureContext());
}
