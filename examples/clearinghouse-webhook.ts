// What a clearinghouse serves beside the signer: the auth webhook, which says who may pay, and the events' webhook, which adds up what
// was paid. Configure the signer with
//
//   auth:   { webhook: { url: http://127.0.0.1:8090/authorize } }
//   audit:  { path: audit }
//   events: { webhook: { url: http://127.0.0.1:8090/events } }
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

/** Customers by the key that their gateways send; amounts in wei. A real one has a database, with transactions. */
const customers = new Map([
  ['key-of-acme', { id: 'acme:gateway-1', budget: 10n ** 18n, spent: 0n }],
  ['key-of-globex', { id: 'globex:gateway-1', budget: 0n, spent: 0n }],
]);
/** Events come at least once. */
const seen = new Set<string>();

type Question = { readonly headers: Readonly<Record<string, readonly string[]>> };
type PaymentEvent = {
  readonly id: string;
  readonly data: { readonly auth_id: string; readonly computed_fee: string };
};

/** Who asks is in the headers of its own request. The answer holds for a minute. */
function authorize({ headers }: Question): object {
  const key = headers['Authorization']?.[0]?.replace('Bearer ', '') ?? '';
  const customer = customers.get(key);
  if (!customer) return { status: 401, reason: 'unknown key' };
  if (customer.spent >= customer.budget) return { status: 402, reason: 'the budget is used up' };
  return { status: 200, auth_id: customer.id, expiry: Math.floor(Date.now() / 1000) + 60 };
}

function bill({ id, data }: PaymentEvent): object {
  if (seen.has(id)) return {};
  seen.add(id);
  for (const customer of customers.values()) {
    if (customer.id === data.auth_id) customer.spent += BigInt(data.computed_fee);
  }
  return {};
}

const server = createServer((request, response) => {
  const respond = (body: unknown): object => {
    if (request.url === '/authorize') return authorize(body as Question);
    if (request.url === '/events') return bill(body as PaymentEvent);
    return Object.fromEntries([...customers.values()].map(({ id, spent }) => [id, `${spent}`]));
  };
  const body = request.method === 'POST' ? json(request) : Promise.resolve();
  body.then(
    (value) => response.end(JSON.stringify(respond(value))),
    () => response.writeHead(400).end(),
  );
});
const { PORT = '8090' } = process.env;
server.listen(Number(PORT), '127.0.0.1', () =>
  console.log('the webhook listens', server.address()),
);
