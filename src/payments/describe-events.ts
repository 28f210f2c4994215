import { z } from 'zod';
import { type EventProfile, paymentEventSchema } from './payment-event.ts';

/** The version of the description; it goes up when what it describes changes. */
const version = '1.0.0';

/** Kafka's own key of a message decides its partition. */
const bindings = {
  kafka: { key: { type: 'string', description: "the event's id" } },
};

/** How the signer authenticates to brokers, by `events.kafka.sasl.mechanism`. */
const securitySchemes = {
  scramSha512: { type: 'scramSha512' },
  scramSha256: { type: 'scramSha256' },
  plain: { type: 'plain', description: 'over TLS only' },
};

/** The events of payments as an AsyncAPI 3.0 document: `docs/asyncapi.json`. */
export function describeEvents(): object {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'livepeer-hsm-signer',
      version,
      description:
        'What is told of each payment, at least once, and the same bytes each time: on a Kafka topic, to a webhook, or in a file.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    channels: {
      payments: {
        description:
          "Its address is the operator's: the topic that `events.kafka.topic` names, the URL of `events.webhook`, or the lines of the file of `events.file`.",
        messages: {
          goLivepeer: { $ref: '#/components/messages/goLivepeer' },
          livepeerNode: { $ref: '#/components/messages/livepeerNode' },
        },
      },
    },
    operations: {
      tellOfPayment: {
        action: 'send',
        summary: 'A payment was signed',
        channel: { $ref: '#/channels/payments' },
        security: Object.keys(securitySchemes).map((name) => ({
          $ref: `#/components/securitySchemes/${name}`,
        })),
      },
    },
    components: {
      securitySchemes,
      messages: {
        goLivepeer: describeMessage('go-livepeer', "go-livepeer's 21 keys"),
        livepeerNode: describeMessage(
          'livepeer-node',
          'the same, with who pays and the fee in US dollars',
        ),
      },
    },
  };
}

function describeMessage(profile: EventProfile, summary: string): object {
  const payload = z.toJSONSchema(paymentEventSchema(profile), { target: 'draft-7' });
  delete payload.$schema;
  return {
    name: 'create_signed_ticket',
    title: `events.profile: ${profile}`,
    summary,
    bindings,
    payload,
  };
}
