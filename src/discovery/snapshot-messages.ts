import type { DiscoverySnapshot } from './snapshot.ts';

/** What worker processes send each other through their primary: one of them asks orchestrators, for all. */
export type DiscoveryMessage =
  | { readonly kind: 'discovery-snapshot'; readonly snapshot: DiscoverySnapshot }
  | { readonly kind: 'discovery-wanted' };

/** Among the messages of the same program. */
export function isDiscoveryMessage(message: unknown): message is DiscoveryMessage {
  return (
    typeof message === 'object' &&
    message !== null &&
    'kind' in message &&
    (message.kind === 'discovery-snapshot' || message.kind === 'discovery-wanted')
  );
}
