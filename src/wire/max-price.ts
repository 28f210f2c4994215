import type { MaxPrice } from '../pm/price-ceilings.ts';
import {
  type DescribedField,
  createStructReader,
  describeStruct,
  named,
  numberTextField,
  readObject,
  stringField,
} from './go-struct.ts';
import type { JsonValue } from './json.ts';

type MaxPriceFields = { price: string; currency: string; unit: string };

const fields: Readonly<Record<string, DescribedField<MaxPriceFields>>> = {
  price: named(
    'maxPrice.price',
    numberTextField(
      { description: 'a positive decimal; text keeps every digit' },
      (maxPrice, text) => (maxPrice.price = text),
    ),
  ),
  currency: named(
    'maxPrice.currency',
    stringField(
      { description: '`wei`', examples: ['wei'] },
      (maxPrice, text) => (maxPrice.currency = text),
    ),
  ),
  unit: named(
    'maxPrice.unit',
    stringField(
      {
        description:
          "the payment type's: `seconds` for `live`, `fixed` for `fixed`, `720p-pixel-seconds` for `lv2v`, whose price is for a pixel",
        examples: ['seconds'],
      },
      (maxPrice, text) => (maxPrice.unit = text),
    ),
  ),
};

/** `maxPrice` of a payment request, as clients should write it. */
export const maxPriceSchema = describeStruct(fields);

const readMembers = createStructReader<MaxPriceFields>(fields);

/**
 * Reads `maxPrice` of a payment request or a webhook answer. Absent fields keep what an earlier spelling of the key gave, and are
 * empty otherwise. Throws `FieldTypeError`.
 */
export function readMaxPrice(
  value: JsonValue,
  field: string,
  earlier: MaxPrice | undefined,
): MaxPrice {
  const maxPrice = { price: '', currency: '', unit: '', ...earlier };
  readMembers(maxPrice, readObject(value, field));
  return maxPrice;
}
