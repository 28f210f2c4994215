import { type PaymentType, unitsPerHour } from '../pm/billing.ts';
import { type Rational, parseRational, rational } from '../pm/rational.ts';
import type { Money } from '../pm/usd.ts';

const weiPerUnit: Readonly<Record<string, bigint>> = {
  wei: 1n,
  gwei: 10n ** 9n,
  ether: 10n ** 18n,
};

const amountPattern = /^(\d+(?:\.\d+)?)\s*(wei|gwei|ether)$/;

/** `"0.5 ether"`, `"30 gwei"` or `"1200.5 wei"` as exact wei; undefined for anything else. */
export function parseAmount(text: string): Rational | undefined {
  const [, number = '', unit = ''] = amountPattern.exec(text.trim()) ?? [];
  const value = parseRational(number);
  const factor = weiPerUnit[unit];
  if (!value || factor === undefined) return undefined;
  return rational(value.numerator * factor, value.denominator);
}

/** US dollars per hour, or for each ticket, payment or request. */
export type UsdAmount = { readonly usd: Rational; readonly isHourly: boolean };

const usdPattern = /^(\d+(?:\.\d+)?)\s*usd(\/hour)?$/;

/** `"0.05 usd"` or `"3.6 usd/hour"`, exact; undefined for anything else. */
export function parseUsd(text: string): UsdAmount | undefined {
  const [, number = '', hourly] = usdPattern.exec(text.trim()) ?? [];
  const usd = parseRational(number);
  return usd && { usd, isHourly: hourly !== undefined };
}

/** A price as it is written: wei per billing unit, whatever the unit is, or US dollars, which state what they are for. */
export type WrittenPrice = Rational | UsdAmount;

/** The price of a billing unit; undefined where the US dollars are for something that the type does not bill. */
export function pricePerUnit(price: WrittenPrice, type: PaymentType): Money | undefined {
  if (!('usd' in price)) return price;
  const { usd, isHourly } = price;
  if (type === 'fixed') return isHourly ? undefined : { usd };
  if ((type !== 'lv2v' && type !== 'live') || !isHourly) return undefined;
  return { usd: rational(usd.numerator, usd.denominator * unitsPerHour[type]) };
}

/** How a price of this type is written in US dollars. */
export function describeUsdPrice(type: PaymentType): string {
  switch (type) {
    case 'lv2v':
      return '"3.6 usd/hour", for an hour of 720p at 30 frames a second';
    case 'live':
      return '"3.6 usd/hour"';
    case 'fixed':
      return '"0.05 usd", for a request';
    case '':
      return 'wei: payments without a type count pixels';
  }
}
