import type { MaxPrice } from '../pm/price-ceilings.ts';
import { readMembers, readNumberText, readObject, readString } from './go-struct.ts';
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
  readMembers(readObject(value, field), {
    price: (price) => (maxPrice.price = readNumberText(price, `${field}.price`)),
    currency: (currency) => (maxPrice.currency = readString(currency, `${field}.currency`)),
    unit: (unit) => (maxPrice.unit = readString(unit, `${field}.unit`)),
  });
  return maxPrice;
}
