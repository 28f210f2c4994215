import { describePaymentApi } from '../http/api/payment-api.ts';

/** The version of the description, which goes up with what it describes. */
const version = '1.0.0';

/** The payment listener as an OpenAPI 3.1 document: `docs/openapi.json`, and `/openapi.json` of the admin listener. */
export function describeApi(): object {
  const payments = describePaymentApi();
  return {
    openapi: '3.1.1',
    info: {
      title: 'livepeer-hsm-signer',
      version,
      summary: 'The remote-signer protocol of Livepeer gateways',
      description:
        'Unknown paths are 404, as plain text. Requests that are no HTTP, or whose headers are too large or too late, get 400, 431 or 408 without a body.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:7936', description: 'the payment listener' }],
    tags: [
      { name: 'payments', description: 'What gateways ask.' },
      { name: 'pages', description: 'What browsers ask before a page may.' },
    ],
    ...payments,
  };
}
