import type { MaxPrice } from '../pm/price-ceilings.ts';
import { createStructReader, readNumberText, readObject, readString } from './go-struct.ts';
import type { JsonValue } from './json.ts';

/**
 * `maxPrice` of a payment request or a webhook answer; absent fields keep what an earlier spelling of the key
 * gave, else are empty. Throws `FieldTypeError`.
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

const readMembers = createStructReader<{ price: string; currency: string; unit: string }>({
  price: (maxPrice, value) => (maxPrice.price = readNumberText(value, 'maxPrice.price')),
  currency: (maxPrice, value) => (maxPrice.currency = readString(value, 'maxPrice.currency')),
  unit: (maxPrice, value) => (maxPrice.unit = readString(value, 'maxPrice.unit')),
});
