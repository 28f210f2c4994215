import ts from 'typescript';
import { embeddedEdits } from './embedded.ts';

/** The text from `start` to before `end` of a file becomes `text`. */
export type Edit = { readonly start: number; readonly end: number; readonly text: string };

/** One mistake that somebody could make in a file. */
export type Mutant = Edit & {
  /** the lines that it touches, without their indentation, and what becomes of them: what a list of mutants names it by */
  readonly from: string;
  readonly to: string;
  /** from 1 on, as editors count */
  readonly line: number;
  readonly language: 'typescript' | 'lua' | 'sql';
  /** what can be written anew around the edit without changing anything else: an expression, or a statement */
  readonly carrier: { readonly kind: 'expression' | 'statement' } & Omit<Edit, 'text'>;
};

const comparisons: Partial<Record<ts.SyntaxKind, readonly string[]>> = {
  [ts.SyntaxKind.LessThanToken]: ['<='],
  [ts.SyntaxKind.LessThanEqualsToken]: ['<'],
  [ts.SyntaxKind.GreaterThanToken]: ['>='],
  [ts.SyntaxKind.GreaterThanEqualsToken]: ['>'],
};

const negations: Partial<Record<ts.SyntaxKind, string>> = {
  [ts.SyntaxKind.LessThanToken]: '>=',
  [ts.SyntaxKind.LessThanEqualsToken]: '>',
  [ts.SyntaxKind.GreaterThanToken]: '<=',
  [ts.SyntaxKind.GreaterThanEqualsToken]: '<',
  [ts.SyntaxKind.EqualsEqualsEqualsToken]: '!==',
  [ts.SyntaxKind.ExclamationEqualsEqualsToken]: '===',
};

const otherOperators: Partial<Record<ts.SyntaxKind, string>> = {
  [ts.SyntaxKind.PlusToken]: '-',
  [ts.SyntaxKind.MinusToken]: '+',
  [ts.SyntaxKind.AsteriskToken]: '/',
  [ts.SyntaxKind.SlashToken]: '*',
  [ts.SyntaxKind.PercentToken]: '*',
  [ts.SyntaxKind.AsteriskAsteriskToken]: '*',
  [ts.SyntaxKind.LessThanLessThanToken]: '>>',
  [ts.SyntaxKind.GreaterThanGreaterThanToken]: '<<',
  [ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken]: '<<',
  [ts.SyntaxKind.AmpersandToken]: '|',
  [ts.SyntaxKind.BarToken]: '&',
  [ts.SyntaxKind.CaretToken]: '&',
  [ts.SyntaxKind.PlusEqualsToken]: '-=',
  [ts.SyntaxKind.MinusEqualsToken]: '+=',
  [ts.SyntaxKind.AsteriskEqualsToken]: '/=',
  [ts.SyntaxKind.SlashEqualsToken]: '*=',
  [ts.SyntaxKind.BarEqualsToken]: '&=',
  [ts.SyntaxKind.AmpersandEqualsToken]: '|=',
  [ts.SyntaxKind.QuestionQuestionEqualsToken]: '=',
};

/** Methods that a mistake would name instead, and those whose call it would leave out. */
const otherMethods = new Map(
  Object.entries({
    min: 'max',
    max: 'min',
    some: 'every',
    every: 'some',
    startsWith: 'endsWith',
    endsWith: 'startsWith',
    padStart: 'padEnd',
    padEnd: 'padStart',
    floor: 'ceil',
    ceil: 'floor',
    toLowerCase: 'toUpperCase',
    toUpperCase: 'toLowerCase',
    indexOf: 'lastIndexOf',
    lastIndexOf: 'indexOf',
    push: 'unshift',
    shift: 'pop',
    any: 'all',
  }),
);
const omittedMethods = new Set(
  'trim trimEnd trimStart slice subarray sort toSorted reverse toReversed filter toLowerCase toUpperCase catch'.split(
    ' ',
  ),
);

const isProse = (text: string): boolean => /\S\s+\S+\s+\S/.test(text);

/** Everything in `source` that may be got wrong, in the order of the file. Messages for people are left as they are. */
export function findMutants(path: string, source: string): Mutant[] {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const found = new Map<string, Mutant>();
  const textOf = (node: ts.Node): string => source.slice(node.getStart(file), node.end);

  function add(
    node: ts.Node,
    start: number,
    end: number,
    text: string,
    language: Mutant['language'] = 'typescript',
  ): void {
    if (source.slice(start, end) === text) return;
    const carrier = carrierOf(node);
    if (carrier === undefined) return;
    const first = source.lastIndexOf('\n', start - 1) + 1;
    const newline = source.indexOf('\n', end);
    const last = newline === -1 ? source.length : newline;
    const squeeze = (lines: string): string => lines.replace(/\s+/g, ' ').trim();
    const from = squeeze(source.slice(first, last));
    const to = squeeze(source.slice(first, start) + text + source.slice(end, last));
    const span = { start: carrier.getStart(file), end: carrier.end };
    const kind = ts.isStatement(carrier) ? 'statement' : 'expression';
    const line = file.getLineAndCharacterOfPosition(start).line + 1;
    const mutant = { start, end, text, from, to, line, language } as const;
    found.set(`${start} ${end} ${text}`, { ...mutant, carrier: { kind, ...span } });
  }

  const replace = (node: ts.Node, text: string): void =>
    add(node, node.getStart(file), node.end, text);

  function condition(node: ts.Expression): void {
    if (node.kind === ts.SyntaxKind.TrueKeyword || node.kind === ts.SyntaxKind.FalseKeyword) return;
    replace(node, 'true');
    replace(node, 'false');
  }

  /** Whether another mutant replaces what the expression tells by true and by false. */
  function isDecided(node: ts.Expression): boolean {
    const { parent } = node;
    if (ts.isParenthesizedExpression(parent)) return isDecided(parent);
    if (ts.isPrefixUnaryExpression(parent)) return isDecided(parent);
    if (ts.isBinaryExpression(parent)) return isLogical(parent.operatorToken.kind);
    if (ts.isConditionalExpression(parent)) return parent.condition === node;
    return ts.isIfStatement(parent) || ts.isWhileStatement(parent);
  }

  function binary(node: ts.BinaryExpression): void {
    const { left, right, operatorToken: operator } = node;
    const swap = (text: string): void => add(node, operator.getStart(file), operator.end, text);
    if (isLogical(operator.kind)) {
      add(node, left.end, right.end, '');
      add(node, left.getStart(file), right.getStart(file), '');
      return;
    }
    for (const text of comparisons[operator.kind] ?? []) swap(text);
    const negation = negations[operator.kind];
    if (negation !== undefined && !isDecided(node)) swap(negation);
    const other = otherOperators[operator.kind];
    const joinsText = [left, right].some((side) => mayBeText(side));
    if (other !== undefined && !(operator.kind === ts.SyntaxKind.PlusToken && joinsText)) {
      swap(other);
    }
  }

  function call(node: ts.CallExpression): void {
    const { expression: callee } = node;
    if (!ts.isPropertyAccessExpression(callee)) return;
    const { name } = callee;
    const other = otherMethods.get(name.text);
    if (other !== undefined) add(node, name.getStart(file), name.end, other);
    if (omittedMethods.has(name.text)) add(node, callee.expression.end, node.end, '');
  }

  function text(node: ts.StringLiteralLike | ts.TemplateExpression): void {
    const pieces = ts.isTemplateExpression(node)
      ? [node.head, ...node.templateSpans.map(({ literal }) => literal)]
      : [node];
    const whole = textOf(node);
    const embedded = embeddedEdits(whole);
    if (embedded !== undefined) {
      const start = node.getStart(file);
      const isText = ({ start: from, end: to }: Edit): boolean =>
        pieces.some((piece) => piece.getStart(file) <= start + from && start + to <= piece.end);
      for (const edit of embedded.edits.filter(isText)) {
        add(node, start + edit.start, start + edit.end, edit.text, embedded.language);
      }
      return;
    }
    if (isForPeople(node) || pieces.some((piece) => isProse(piece.text))) return;
    replace(node, whole.length === 2 ? "'mutant'" : "''");
  }

  function statement(node: ts.ExpressionStatement | ts.ThrowStatement): void {
    const inner = node.expression;
    if (ts.isStringLiteral(inner)) return;
    if (ts.isCallExpression(inner) && inner.expression.kind === ts.SyntaxKind.SuperKeyword) return;
    if (ts.isThrowStatement(node) && isAllOfIf(node)) return;
    replace(node, '');
  }

  function result(node: ts.Expression): void {
    const bare = ts.isParenthesizedExpression(node) ? node.expression : node;
    const isPlain =
      ts.isCallExpression(bare) ||
      ts.isAwaitExpression(bare) ||
      ts.isIdentifier(bare) ||
      ts.isPropertyAccessExpression(bare);
    if (isPlain && bare.getText(file) !== 'undefined') replace(bare, 'undefined');
  }

  function visit(node: ts.Node): void {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return;
    if (
      ts.isImportDeclaration(node) ||
      ts.isExportDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node)
    ) {
      return;
    }
    if (ts.isBinaryExpression(node)) binary(node);
    else if (ts.isCallExpression(node)) call(node);
    else if (ts.isExpressionStatement(node) || ts.isThrowStatement(node)) statement(node);
    else if (ts.isIfStatement(node)) condition(node.expression);
    else if (ts.isConditionalExpression(node)) condition(node.condition);
    else if (ts.isWhileStatement(node)) replace(node.expression, 'false');
    else if (ts.isForStatement(node) && node.condition) replace(node.condition, 'false');
    else if (ts.isForOfStatement(node)) replace(node.expression, '[]');
    else if (ts.isReturnStatement(node) && node.expression) result(node.expression);
    else if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) result(node.body);
    else if (ts.isPrefixUnaryExpression(node)) prefix(node);
    else if (ts.isPostfixUnaryExpression(node)) {
      const other = node.operator === ts.SyntaxKind.PlusPlusToken ? '--' : '++';
      add(node, node.operand.end, node.end, other);
    } else if (ts.isNumericLiteral(node)) {
      if (!ts.isPropertyAssignment(node.parent) || node.parent.name !== node) {
        replace(node, `${Number(node.text) + 1}`);
      }
    } else if (ts.isBigIntLiteral(node)) {
      replace(node, `${BigInt(node.text.slice(0, -1)) + 1n}n`);
    } else if (node.kind === ts.SyntaxKind.TrueKeyword) replace(node, 'false');
    else if (node.kind === ts.SyntaxKind.FalseKeyword) replace(node, 'true');
    else if (ts.isRegularExpressionLiteral(node)) regex(node);
    else if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) {
      if (!isName(node)) text(node);
    } else if (ts.isObjectLiteralExpression(node)) members(node, node.properties);
    else if (ts.isArrayLiteralExpression(node)) members(node, node.elements);
    if (isOptionalLink(node)) {
      const { questionDotToken: dot } = node;
      const plain = ts.isPropertyAccessExpression(node) ? '.' : '';
      if (dot) add(node, dot.getStart(file), dot.end, plain);
    }
    ts.forEachChild(node, visit);
  }

  function prefix(node: ts.PrefixUnaryExpression): void {
    const { operator, operand } = node;
    if (operator === ts.SyntaxKind.PlusPlusToken)
      add(node, node.getStart(file), operand.getStart(file), '--');
    else if (operator === ts.SyntaxKind.MinusMinusToken)
      add(node, node.getStart(file), operand.getStart(file), '++');
    else if (operator !== ts.SyntaxKind.ExclamationToken || !isDecided(node)) {
      add(node, node.getStart(file), operand.getStart(file), '');
    }
  }

  function regex(node: ts.RegularExpressionLiteral): void {
    const start = node.getStart(file);
    const { text: whole } = node;
    const close = whole.lastIndexOf('/');
    if (whole.startsWith('/^')) add(node, start + 1, start + 2, '');
    if (whole[close - 1] === '$' && whole[close - 2] !== '\\')
      add(node, start + close - 1, start + close, '');
    for (const match of whole.slice(0, close).matchAll(/\{(\d+)(?=[,}])/g)) {
      const at = start + match.index + 1;
      add(node, at, at + (match[1] ?? '').length, `${Number(match[1]) + 1}`);
    }
    for (const match of whole.slice(1, close).matchAll(/(?<=[\])\w])[+*]/g)) {
      const at = start + 1 + match.index;
      add(node, at, at + 1, match[0] === '+' ? '*' : '+');
    }
    if (close < whole.length - 1) add(node, start + close + 1, node.end, '');
  }

  /** Each member left out; one that names nothing but a text or a number is changed by itself. */
  function members(node: ts.Expression, list: ts.NodeArray<ts.Node>): void {
    if (
      ts.isBinaryExpression(node.parent) &&
      node.parent.left === node &&
      isAssignment(node.parent)
    )
      return;
    list.forEach((member, index) => {
      if (ts.isOmittedExpression(member)) return;
      if (ts.isMethodDeclaration(member) || ts.isAccessor(member)) return;
      const next = list[index + 1];
      const previous = list[index - 1];
      if (next) add(node, member.getStart(file), next.getStart(file), '');
      else add(node, previous?.end ?? member.getStart(file), list.end, '');
    });
  }

  /** The smallest expression or statement around that may stand in brackets without meaning anything else. */
  function carrierOf(node: ts.Node): ts.Node | undefined {
    for (let carrier = node; ; carrier = carrier.parent) {
      if (ts.isStatement(carrier) && !ts.isBlock(carrier)) {
        const mayStandAlone = ts.isExpressionStatement(carrier) || ts.isThrowStatement(carrier);
        return mayStandAlone ? carrier : undefined;
      }
      if (isExpression(carrier) && mayBeBracketed(carrier)) return carrier;
    }
  }

  ts.forEachChild(file, visit);
  return [...found.values()].sort((a, b) => a.start - b.start || a.end - b.end);
}

function isLogical(kind: ts.SyntaxKind): boolean {
  return (
    kind === ts.SyntaxKind.AmpersandAmpersandToken ||
    kind === ts.SyntaxKind.BarBarToken ||
    kind === ts.SyntaxKind.QuestionQuestionToken
  );
}

function isAssignment({ operatorToken: { kind } }: ts.BinaryExpression): boolean {
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
}

function mayBeText(node: ts.Expression): boolean {
  if (ts.isParenthesizedExpression(node)) return mayBeText(node.expression);
  if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) return true;
  return ts.isBinaryExpression(node) && (mayBeText(node.left) || mayBeText(node.right));
}

type OptionalLink = ts.PropertyAccessExpression | ts.ElementAccessExpression | ts.CallExpression;

function isOptionalLink(node: ts.Node): node is OptionalLink {
  return (
    ts.isPropertyAccessExpression(node) ||
    ts.isElementAccessExpression(node) ||
    ts.isCallExpression(node)
  );
}

/** Whether a statement is all that an `if` without `else` does: leaving it out is the condition's being false. */
function isAllOfIf(node: ts.Statement): boolean {
  const { parent } = node;
  if (ts.isBlock(parent)) return parent.statements.length === 1 && isAllOfIf(parent);
  return ts.isIfStatement(parent) && parent.elseStatement === undefined;
}

/** A text that is the name of a member, of a module or of a type. */
function isName(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent))
    return parent.name === node;
  if (ts.isTaggedTemplateExpression(parent) || ts.isPropertyDeclaration(parent)) return true;
  if (ts.isBindingElement(parent)) return parent.propertyName === node;
  return ts.isCallExpression(parent) && parent.expression.kind === ts.SyntaxKind.ImportKeyword;
}

/** Whether a text is part of an error's message, a log line or a description. */
function isForPeople(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isNewExpression(parent)) {
    return ts.isIdentifier(parent.expression) && parent.expression.text.endsWith('Error');
  }
  if (ts.isCallExpression(parent)) {
    const callee = parent.expression;
    return (
      ts.isPropertyAccessExpression(callee) &&
      /^(debug|info|warn|error|describe|description|addHelpText)$/.test(callee.name.text)
    );
  }
  if (ts.isPropertyAssignment(parent)) {
    return ts.isIdentifier(parent.name) && /^(message|help|description)$/.test(parent.name.text);
  }
  if (ts.isTemplateSpan(parent))
    return isForPeople(parent.parent) || isProse(parent.parent.getText());
  if (ts.isConditionalExpression(parent) || ts.isParenthesizedExpression(parent)) {
    return isForPeople(parent);
  }
  return false;
}

/** Whether a node is written where an expression is, and means one. */
function isExpression(node: ts.Node): node is ts.Expression {
  if (ts.isIdentifier(node)) {
    const { parent } = node;
    if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
    if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
    return !ts.isShorthandPropertyAssignment(parent) && !ts.isBindingElement(parent);
  }
  return (
    ts.isExpression(node) &&
    !ts.isSpreadElement(node) &&
    !ts.isOmittedExpression(node) &&
    !ts.isTypeNode(node) &&
    !ts.isTemplateHead(node)
  );
}

function mayBeBracketed(node: ts.Expression): boolean {
  const { parent } = node;
  if (ts.isSpreadElement(node) || ts.isSpreadElement(node.parent)) return !ts.isSpreadElement(node);
  if (isOptionalLink(parent) && parent.expression === node) {
    const isChain = (parent.flags & ts.NodeFlags.OptionalChain) !== 0;
    return !isChain && !ts.isCallExpression(parent);
  }
  if (ts.isNonNullExpression(parent) || ts.isTaggedTemplateExpression(parent)) return false;
  if (ts.isNewExpression(parent) && parent.expression === node) return false;
  if (ts.isBinaryExpression(parent) && parent.left === node) return !isAssignment(parent);
  if (ts.isPostfixUnaryExpression(parent) || ts.isDeleteExpression(parent)) return false;
  if (ts.isPrefixUnaryExpression(parent)) {
    return (
      parent.operator !== ts.SyntaxKind.PlusPlusToken &&
      parent.operator !== ts.SyntaxKind.MinusMinusToken
    );
  }
  if (ts.isForOfStatement(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)) {
    return parent.initializer === node;
  }
  return !ts.isExpressionWithTypeArguments(parent) && !ts.isComputedPropertyName(parent);
}
