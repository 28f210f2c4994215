import { Ajv } from 'ajv';
import ajvFormats from 'ajv-formats';
import { expect } from 'vitest';
import type { EventProfile } from '../../src/payments/payment-event.ts';
import { describeEvents } from '../../src/payments/describe-events.ts';

type EventDocument = {
  readonly components: {
    readonly messages: Readonly<
      Record<string, { readonly title: string; readonly payload: object }>
    >;
  };
};

const ajv = new Ajv({ strict: true, allowUnionTypes: true });
ajvFormats.default(ajv);
const validators = new Map(
  Object.values((describeEvents() as EventDocument).components.messages).map(
    ({ title, payload }) => [title, ajv.compile(payload)],
  ),
);

/** Holds an event, as it was delivered, against what docs/asyncapi.json says of its profile. */
export function expectOfDocument(profile: EventProfile, event: string): void {
  expect(problemsOf(profile, event), event).toEqual([]);
}

/** What the document has against an event. */
export function problemsOf(profile: EventProfile, event: string): readonly unknown[] {
  const validate = validators.get(`events.profile: ${profile}`);
  if (!validate) throw new Error(`${profile} is in no document`);
  return validate(JSON.parse(event)) ? [] : (validate.errors ?? []);
}
