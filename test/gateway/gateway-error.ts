/** An answer that ends a payment cycle. */
export class GatewayError extends Error {
  readonly source: 'signer' | 'orchestrator';
  /** HTTP status; undefined where there was none. */
  readonly status: number | undefined;

  constructor(source: 'signer' | 'orchestrator', status: number | undefined, message: string) {
    super(`${source} answered ${status ?? 'nothing'}: ${message}`);
    this.name = 'GatewayError';
    this.source = source;
    this.status = status;
  }
}
