import { toBinary } from '@bufbuild/protobuf';
import { z } from 'zod';
import { type OrchestratorInfo, OrchestratorInfoSchema } from '../../src/wire/net_pb.ts';
import { GatewayError } from './gateway-error.ts';

/** As long as clients in the field wait for the signer. */
const timeoutMs = 5_000;

const infoSignatureSchema = z.object({
  address: z.string().regex(/^0x[0-9a-fA-F]{40}$/),
  signature: z.string().regex(/^0x[0-9a-f]{130}$/),
});

/** The session state between two calls; what is in it is the signer's business. */
const stateSchema = z.object({ State: z.base64(), Sig: z.base64() });

const livePaymentSchema = z.object({
  payment: z.base64(),
  segCreds: z.base64(),
  state: stateSchema,
});

const errorSchema = z.object({ error: z.object({ message: z.string() }) });

export type InfoSignature = z.infer<typeof infoSignatureSchema>;

export type SignerState = z.infer<typeof stateSchema>;

export type LivePaymentRequest = {
  readonly orchestrator: OrchestratorInfo;
  readonly type: string;
  readonly manifestId: string;
  readonly state: SignerState | undefined;
};

export type LivePaymentAnswer =
  | ({ readonly kind: 'payment' } & z.infer<typeof livePaymentSchema>)
  /** 480: fetch fresh params, from this URL if the signer names one. */
  | { readonly kind: 'refresh'; readonly orchestratorUrl: string | undefined }
  /** 482: nothing to pay yet. */
  | { readonly kind: 'noTickets' };

/** The two endpoints of a remote signer that a gateway calls. */
export class SignerClient {
  readonly #origin: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** `headers` go with every request, e.g. `Authorization`. */
  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.#origin = new URL(url).origin;
    this.#headers = headers;
  }

  /** Address and signature for `GetOrchestrator`. Throws {@link GatewayError}. */
  async signOrchestratorInfo(): Promise<InfoSignature> {
    const response = await this.#post('/sign-orchestrator-info', {});
    if (response.status !== 200) throw await toGatewayError(response);
    return infoSignatureSchema.parse(await response.json());
  }

  /** One payment. Throws {@link GatewayError} for every status but 200, 480 and 482. */
  async generateLivePayment(request: LivePaymentRequest): Promise<LivePaymentAnswer> {
    const orchestrator = toBinary(OrchestratorInfoSchema, request.orchestrator);
    const response = await this.#post('/generate-live-payment', {
      orchestrator: Buffer.from(orchestrator).toString('base64'),
      type: request.type,
      ManifestID: request.manifestId,
      ...(request.state !== undefined && { state: request.state }),
    });
    switch (response.status) {
      case 200:
        return { kind: 'payment', ...livePaymentSchema.parse(await response.json()) };
      case 480: {
        await response.body?.cancel();
        const orchestratorUrl = response.headers.get('Livepeer-Orchestrator-Url') ?? undefined;
        return { kind: 'refresh', orchestratorUrl };
      }
      case 482:
        await response.body?.cancel();
        return { kind: 'noTickets' };
      default:
        throw await toGatewayError(response);
    }
  }

  #post(path: string, body: unknown): Promise<Response> {
    return fetch(`${this.#origin}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...this.#headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
  }
}

async function toGatewayError(response: Response): Promise<GatewayError> {
  const text = await response.text();
  return new GatewayError('signer', response.status, readErrorMessage(text) ?? text.trim());
}

function readErrorMessage(text: string): string | undefined {
  try {
    return errorSchema.parse(JSON.parse(text)).error.message;
  } catch {
    return undefined;
  }
}
