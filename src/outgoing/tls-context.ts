import { type SecureContext, createSecureContext } from 'node:tls';

let context: SecureContext | undefined;

/**
 * Node's own settings of TLS, with the authorities that this machine trusts. One for all connections: each would read the authorities
 * again, which makes the process's other work wait.
 */
export function sharedTlsContext(): SecureContext {
  return (context ??= createSecureContext());
}
