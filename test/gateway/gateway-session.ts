import { fromBinary } from '@bufbuild/protobuf';
import { type OrchestratorInfo, type Payment, PaymentSchema } from '../../src/wire/net_pb.ts';
import { GatewayError } from './gateway-error.ts';
import { getOrchestratorInfo, refreshPayment, sendPayment } from './orchestrator-client.ts';
import { type InfoSignature, SignerClient, type SignerState } from './signer-client.ts';

const maxRefreshes = 3;

export type GatewaySessionOptions = {
  readonly signerUrl: string;
  readonly orchestratorUrl: string;
  readonly paymentType: 'lv2v' | 'live' | 'fixed';
  /** Sent to the signer with every request. */
  readonly signerHeaders?: Readonly<Record<string, string>>;
};

/** How one payment cycle ended; `refreshes` counts the signer's 480 answers. */
export type PaymentCycle =
  | { readonly outcome: 'paid'; readonly refreshes: number; readonly payment: Payment }
  /** The signer said that no ticket is due (482). */
  | { readonly outcome: 'skipped'; readonly refreshes: number };

/** One paid session between a gateway and an orchestrator, with a remote signer that pays. */
export class GatewaySession {
  readonly #options: GatewaySessionOptions;
  readonly #signer: SignerClient;
  readonly #infoSignature: InfoSignature;
  #info: OrchestratorInfo;
  #manifestId: string;
  #state: SignerState | undefined;

  private constructor(
    options: GatewaySessionOptions,
    signer: SignerClient,
    infoSignature: InfoSignature,
    info: OrchestratorInfo,
  ) {
    this.#options = options;
    this.#signer = signer;
    this.#infoSignature = infoSignature;
    this.#info = info;
    this.#manifestId = readSessionId(info);
  }

  /** Has the signer introduce the gateway and fetches the orchestrator's terms. Throws {@link GatewayError}. */
  static async start(options: GatewaySessionOptions): Promise<GatewaySession> {
    const signer = new SignerClient(options.signerUrl, options.signerHeaders);
    const infoSignature = await signer.signOrchestratorInfo();
    const info = await getOrchestratorInfo(options.orchestratorUrl, infoSignature);
    return new GatewaySession(options, signer, infoSignature, info);
  }

  /** Address that pays, as the signer named it. */
  get sender(): string {
    return this.#infoSignature.address;
  }

  /** The id under which the orchestrator keeps the balance: the session id of the first auth token. */
  get manifestId(): string {
    return this.#manifestId;
  }

  /**
   * Asks the signer for a payment and forwards it. Fetches fresh terms and asks again at most three times in
   * a row when the signer wants them. Throws {@link GatewayError} for any other refusal.
   */
  async pay(): Promise<PaymentCycle> {
    for (let refreshes = 0; ; refreshes += 1) {
      const answer = await this.#signer.generateLivePayment({
        orchestrator: this.#info,
        type: this.#options.paymentType,
        manifestId: this.#manifestId,
        state: this.#state,
      });
      switch (answer.kind) {
        case 'payment':
          this.#state = answer.state;
          this.#info = await sendPayment(this.#info.transcoder, answer);
          return {
            outcome: 'paid',
            refreshes,
            payment: fromBinary(PaymentSchema, Buffer.from(answer.payment, 'base64')),
          };
        case 'noTickets':
          return { outcome: 'skipped', refreshes };
        case 'refresh':
          if (refreshes === maxRefreshes) {
            throw new GatewayError('signer', 480, 'too many consecutive session refreshes');
          }
          await this.#refresh(answer.orchestratorUrl);
      }
    }
  }

  /** Video sessions ask by gRPC; the others must keep their session id, which only `/refresh-payment` does. */
  async #refresh(orchestratorUrl: string | undefined): Promise<void> {
    const { paymentType } = this.#options;
    if (paymentType !== 'lv2v' && this.#state !== undefined) {
      if (orchestratorUrl === undefined) {
        throw new GatewayError('signer', 480, 'the header Livepeer-Orchestrator-Url is missing');
      }
      this.#info = await refreshPayment(orchestratorUrl, this.sender, this.#manifestId);
      return;
    }
    this.#info = await getOrchestratorInfo(this.#options.orchestratorUrl, this.#infoSignature);
    if (this.#state === undefined) this.#manifestId = readSessionId(this.#info);
  }
}

function readSessionId({ authToken }: OrchestratorInfo): string {
  if (authToken === undefined) {
    throw new GatewayError('orchestrator', 200, 'the orchestrator info has no auth token');
  }
  return authToken.sessionId;
}
