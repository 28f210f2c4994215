import { isSignerError } from '../errors.ts';
import { eventLoopTurns } from '../event-loop-turns.ts';
import type { Address } from '../pm/bytes.ts';
import { CallLimiter } from './call-limiter.ts';
import { describeAbort } from './describe-abort.ts';
import type { Grant, GrantReason, Permission } from './grant.ts';
import { type Intent, digestsOf } from './intents.ts';
import { KeyCondition } from './key-condition.ts';
import type { KeyJournal } from './key-journal.ts';
import { type CallOptions, type CallTurn, type KeyProvider, ProviderError } from './provider.ts';
import { type StepAttributes, traceStep } from '../trace-steps.ts';
import { publicKeyToAddress, toEthereumSignature, toEthereumSignatures } from './signature.ts';

/** A larger whole that the signatures are a part of, where they are worth nothing without its other parts. */
export type Whole = {
  /** the other parts; when one of them fails, these signatures count as failed too */
  readonly otherParts: Promise<unknown>;
  /** what the record says of the whole once all parts are there; the events are read from it in the audit log */
  readonly event: string | undefined;
};

export type SignOptions = CallOptions & {
  /** called for each digest when the call of the key begins: from then on the key may have signed it, however the call ends */
  readonly onCall?: () => void;
  readonly whole?: Whole;
};

/** The one way to the key. */
export type KeyGate = {
  /** The pinned sender address. */
  readonly address: Address;
  /** The condition of the key, as its last signature shows it. */
  readonly condition: Pick<KeyCondition, 'failure' | 'signedAtMs'>;
  /** Calls of the key that wait for their turn. */
  waitingCalls(): number;
  /**
   * Signs what the grant names: one 65-byte r ‖ s ‖ v for each digest, in the Intent's order, each proved to recover {@link
   * KeyGate.address}.
   *
   * There is one call for each digest, or one for all where the provider takes batches. The calls run at once, as far as the
   * provider takes them, and take turns with those of other tenants and grants. When one fails, the others are cancelled and
   * nothing is returned. The journal records the use before the key is called, and has made the record durable before a signature
   * is returned.
   *
   * Throws what `redeem` and `requireSigning` throw, `AUDIT_UNAVAILABLE` and {@link ProviderError}.
   */
  sign(grant: Grant, options: SignOptions): Promise<Uint8Array[]>;
};

export type KeySignOptions = {
  readonly provider: KeyProvider;
  /** The policy's `redeem`: without a grant that policy issued, the gate has no Intent to sign. */
  readonly redeem: (grant: Grant) => Permission;
  /**
   * The policy's `requireSigning`: throws where signing has been stopped, even though there is a grant. Called before each call
   * of the key, and after the last.
   */
  readonly requireSigning: (intent: Intent) => void;
  readonly journal: KeyJournal;
  /** How many signatures may wait for the device before further ones are refused. */
  readonly maxQueued: number;
  readonly signal: AbortSignal;
};

/** The turn of a call in the queue, with the Intent that it is for. */
type GateTurn = CallTurn & { readonly intent: Intent };

/**
 * The tenant that gets a share of the key of its own. A principal without a tenant is its own tenant; '' where nobody is known.
 */
function tenantOf({ tenant = '', principal = '' }: GrantReason): string {
  if (tenant !== '') return `tenant:${tenant}`;
  return principal === '' ? '' : `principal:${principal}`;
}

/** Reads and pins the provider's public key. Throws {@link ProviderError}. */
export async function openKeyGate(options: KeySignOptions): Promise<KeyGate> {
  const { provider, redeem, requireSigning, journal, maxQueued } = options;
  const publicKey = await provider.getPublicKey({ signal: options.signal });
  if (publicKey.length !== 65 || publicKey[0] !== 0x04) {
    throw new ProviderError(
      'KEY_UNSUITABLE',
      `${provider.keyRef} did not give an uncompressed secp256k1 public key of 65 bytes`,
    );
  }
  const limiter = new CallLimiter({ concurrency: provider.concurrency, maxQueued });
  const condition = new KeyCondition();
  // the rest of the reference names the key
  const [providerName] = provider.keyRef.split(':', 1);
  const aboutCall = ({ intent }: GateTurn, signatures: number): StepAttributes => ({
    provider: providerName,
    intent: intent.kind,
    signatures,
  });

  function signDigest(
    digest: Uint8Array,
    stopped: AbortController,
    turn: GateTurn,
    onCall: SignOptions['onCall'],
  ): Promise<Uint8Array> {
    const { signal } = stopped;
    const work = async () => {
      // a call that was aborted after its turn had come must not reach the key
      signal.throwIfAborted();
      try {
        requireSigning(turn.intent);
        onCall?.();
        const call = async (): Promise<Uint8Array> => {
          const reply = await provider.signDigest(digest, { signal, turn });
          return toEthereumSignature(reply, digest, publicKey);
        };
        return await traceStep('key-call', aboutCall(turn, 1), () => condition.watch(call, signal));
      } catch (error) {
        stopped.abort(error);
        throw error;
      }
    };
    return limiter.run(work, signal, turn);
  }

  /**
   * Makes one call for the whole batch, and so needs one promise, one place in the queue and one signal instead of one for each
   * digest.
   */
  function signTogether(
    digests: readonly Uint8Array[],
    { signal }: AbortController,
    turn: GateTurn,
    onCall: SignOptions['onCall'],
  ): Promise<Uint8Array[]> {
    const work = () => {
      signal.throwIfAborted();
      requireSigning(turn.intent);
      digests.forEach(() => onCall?.());
      const call = async (): Promise<Uint8Array[]> => {
        const replies = (await provider.signDigests?.(digests, { signal, turn })) ?? [];
        return toEthereumSignatures(replies, digests, publicKey);
      };
      return traceStep('key-call', aboutCall(turn, digests.length), () =>
        condition.watch(call, signal),
      );
    };
    // a key that takes batches signs on the event loop itself
    return limiter.run(() => eventLoopTurns.run('begun', work), signal, turn);
  }

  async function signAll(
    digests: readonly Uint8Array[],
    { signal, onCall }: SignOptions,
    turn: GateTurn,
  ): Promise<Uint8Array[]> {
    const stopped = new AbortController();
    const left = Promise.withResolvers<never>();
    // ends with the caller's signal even where the provider ignores it
    const leave = (): void => {
      left.reject(describeAbort(provider.keyRef, signal));
      stopped.abort(signal.reason);
    };
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    try {
      const signatures = provider.signDigests
        ? signTogether(digests, stopped, turn, onCall)
        : Promise.all(digests.map((digest) => signDigest(digest, stopped, turn, onCall)));
      return await Promise.race([left.promise, signatures]);
    } catch (error) {
      stopped.abort(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  const sender = publicKeyToAddress(publicKey);
  return {
    address: sender,
    condition,
    waitingCalls: () => limiter.waitingCount,
    async sign(grant, options) {
      const permission = redeem(grant);
      const digests = digestsOf(permission.intent);
      const record = await journal.begin({
        ...permission,
        sender,
        keyRef: provider.keyRef,
        digests,
      });
      const startedAt = performance.now();
      let signatures: Uint8Array[];
      try {
        const { intent, reason } = permission;
        const turn = { lane: grant, tenant: tenantOf(reason), intent };
        signatures = await signAll(digests, options, turn);
        await options.whole?.otherParts;
        // where signing was stopped meanwhile, what the key has signed is not handed out
        requireSigning(intent);
      } catch (error) {
        const code = isSignerError(error) ? error.code : 'INTERNAL';
        record.failed(code, performance.now() - startedAt);
        throw error;
      }
      await record.signed(performance.now() - startedAt, options.whole?.event);
      return signatures;
    },
  };
}
