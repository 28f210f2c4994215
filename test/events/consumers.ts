import { z } from 'zod';

// What those who bill by these events ask of them, restated: each model takes a message as it goes out, or throws.

/** What livepeer/clearinghouse's collector makes of an event: a CloudEvent, which OpenMeter knows by its id. */
export type MeteredUsage = {
  readonly id: string;
  readonly source: 'go-livepeer-remote-signer';
  readonly type: 'create_signed_ticket';
  readonly subject: string;
  readonly time: string;
  readonly data: {
    readonly client_id: string;
    readonly usage_subject: string;
    readonly usage_subject_type: 'external_user_id' | 'app_owner';
    readonly fee_wei: number;
    readonly network_fee_usd_micros: number;
    readonly billable_secs: number;
    readonly pixels: string;
    readonly pipeline: string;
    readonly model_id: string;
    readonly session: string;
    readonly gateway_request_id: string;
  };
};

type Data = Readonly<Record<string, unknown>>;
type Message = { readonly type?: unknown; readonly data?: Data };

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const firstText = (...values: unknown[]): string => values.map(text).find(Boolean) ?? 'unknown';

/** livepeer/clearinghouse's collector. Throws for an event that it drops. */
export function meterUsage(message: string, usdPerEther: number): MeteredUsage {
  const { type, data = {} } = JSON.parse(message) as Message;
  if (type !== 'create_signed_ticket') throw new Error(`not metered: ${String(type)}`);
  const given = [data['client_id'], data['usage_subject']].map(text);
  const authId = text(data['auth_id']) || (given.every(Boolean) ? given.join(':') : '');
  if (authId === '') throw new Error('dropped: nobody to bill');
  const colon = authId.indexOf(':');
  const client = colon < 0 ? authId : authId.slice(0, colon);
  const rest = colon < 0 ? '' : authId.slice(colon + 1);
  const isOwner = rest.startsWith('owner:');
  const subject = isOwner ? rest.slice('owner:'.length).trim() : rest;
  const feeWei = Number(data['computed_fee'] ?? 0);
  if (!Number.isFinite(feeWei)) throw new Error('the fee is no number');
  if (data['request_id'] === undefined) throw new Error('an id would be made up');
  return {
    id: text(data['request_id']),
    source: 'go-livepeer-remote-signer',
    type: 'create_signed_ticket',
    subject: isOwner ? subject : authId,
    time: text(data['current_time']),
    data: {
      client_id: client,
      usage_subject: subject,
      usage_subject_type: isOwner ? 'app_owner' : 'external_user_id',
      fee_wei: feeWei,
      network_fee_usd_micros: (feeWei * usdPerEther) / 1e12,
      billable_secs: Number(data['billable_secs'] ?? 0),
      pixels: String(Number(data['pixels'] ?? 0)),
      pipeline: firstText(data['pipeline']),
      model_id: firstText(data['model_id']),
      session: firstText(data['manifest_id'], data['session_id'], data['request_id']),
      gateway_request_id: text(data['request_id']),
    },
  };
}

const integerText = z.string().regex(/^-?[0-9]+$/);

/** What livepeer/clearinghouse-batteries knows of a session, from its webhook. */
export type KnownSession = {
  readonly stateId: string;
  readonly app: string;
  readonly orchestrator: string;
  readonly authId: string;
};

const batteriesEvent = z.looseObject({
  id: z.string().min(1),
  type: z.literal('create_signed_ticket'),
  data: z.looseObject({
    session_id: z.string().min(1),
    app: z.string(),
    orch_address: z.string(),
    auth_id: z.string().min(1),
    request_id: z.string().min(1),
    pm_session_id: z.string().regex(/^0x[0-9a-f]{64}$/),
    computed_fee: integerText,
    num_tickets: z.int().min(1).max(100),
    previous_time_unix: z.int().min(0),
    current_time_unix: z.int().positive(),
    computed_fee_usd: z.string().nullish(),
  }),
});

/** livepeer/clearinghouse-batteries' books: what it does not take it quarantines, which throws here. */
export class BatteriesBooks {
  readonly #bytesById = new Map<string, string>();
  readonly #sessions: readonly KnownSession[];
  readonly #inUsd: boolean;

  /** `inUsd`: what customers may spend is in US dollars. */
  constructor(sessions: readonly KnownSession[], { inUsd }: { inUsd: boolean }) {
    this.#sessions = sessions;
    this.#inUsd = inUsd;
  }

  get size(): number {
    return this.#bytesById.size;
  }

  ingest(message: string): void {
    const { id, data } = batteriesEvent.parse(JSON.parse(message));
    const before = this.#bytesById.get(id);
    if (before !== undefined && before !== message) throw new Error('another event with this id');
    this.#bytesById.set(id, message);
    const session = this.#sessions.find(({ stateId }) => stateId === data.session_id);
    const same =
      session?.app === data.app &&
      session.orchestrator.toLowerCase() === data.orch_address.toLowerCase() &&
      session.authId === data.auth_id;
    if (!same) throw new Error('not the session that was approved');
    if (this.#inUsd && typeof data.computed_fee_usd !== 'string') {
      throw new Error('USD fee unavailable');
    }
  }
}

/** What pymthouse's collector reads: who pays, who acts, and the model behind the pipeline. */
export function collectForPymthouse(message: string) {
  const { data } = z
    .looseObject({
      type: z.literal('create_signed_ticket'),
      data: z.looseObject({
        app: z.string(),
        auth_id: z.string().min(1),
        session_status: z.enum(['new', 'continuing']),
        orch_address: z.string().regex(/^0x[0-9a-fA-F]{40}$/),
        num_tickets: z.int().positive(),
        pipeline: z.string(),
        computed_fee: integerText,
      }),
    })
    .parse(JSON.parse(message));
  const [client = '', payer = '', actor = ''] = data.auth_id.split(/[:#]/);
  const [pipeline = '', model = ''] = data.pipeline.split(':');
  return { client, payer, actor, pipeline, model, isNew: data.session_status === 'new' };
}

/** mikezupper/livepeer-clearinghouse's model, which forbids what it does not know. */
export const strictEvent = z.strictObject({
  id: z.uuid(),
  type: z.literal('create_signed_ticket'),
  timestamp: z.string(),
  gateway: z.string(),
  data: z.strictObject({
    app: z.string(),
    auth_id: z.string(),
    billable_secs: z.number(),
    computed_fee: z.string(),
    cost: z.string(),
    current_time: z.iso.datetime(),
    current_time_unix: z.int(),
    manifest_id: z.string(),
    num_tickets: z.int(),
    orch_address: z.string(),
    orch_url: z.string(),
    pipeline: z.string(),
    pixels: z.int(),
    pm_session_id: z.string(),
    previous_time: z.iso.datetime(),
    previous_time_unix: z.int(),
    request_id: z.string(),
    sequence_number: z.int(),
    session_balance: z.string(),
    session_id: z.string(),
    session_status: z.enum(['new', 'continuing']),
  }),
});
