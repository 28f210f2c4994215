declare module 'luaparse' {
  /** Gives the tree of a script; throws SyntaxError. */
  export function parse(source: string, options: object): unknown;
}
