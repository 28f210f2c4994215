/**
 * Text from a fixed-width field of a token, or from a label, without what fills it up. PKCS#11 asks for blanks at the end;
 * devices also put them in front, or end the text with a NUL, after which anything may stand.
 */
export function unpad(field: string): string {
  const [text = ''] = field.replace(/^[\0 ]+/, '').split('\0');
  return text.trimEnd();
}
