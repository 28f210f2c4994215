const namePattern = /^[^\p{Cc}]{1,255}$/u;

/**
 * Whether this may be the name of a principal or a tenant, wherever it comes from: it is printed in log lines and records, and
 * compared in rules.
 */
export function isPrincipalName(text: string): boolean {
  return namePattern.test(text);
}

/** What {@link isPrincipalName} requires, for error messages. */
export const principalNameForm = '1 to 255 characters, none of them a control character';
