const namePattern = /^[^\p{Cc}]{1,255}$/u;

/** Whether an id or a tenant may be called so, whoever says it: it is printed in log lines and records, and compared in rules. */
export function isPrincipalName(text: string): boolean {
  return namePattern.test(text);
}

/** What {@link isPrincipalName} asks for. */
export const principalNameForm = '1 to 255 characters, none of them a control character';
