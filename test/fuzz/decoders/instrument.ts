import ts from 'typescript';

/** The name of the function, on `globalThis`, that instrumented code calls with the number of each block it enters. */
export const hitName = '__enteredBlock';

/**
 * The same program, which tells of each block it enters: functions, branches of conditions, right sides of logical operators,
 * cases, bodies of loops, handlers. Lines stay where they are. `newBlock` gives each its number.
 */
export function instrument(file: string, source: string, newBlock: () => number): string {
  const kind = file.endsWith('.ts') ? ts.ScriptKind.TS : ts.ScriptKind.JS;
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true, kind);
  const opened: Insertion[] = [];
  const closed: Insertion[] = [];
  const hit = (): string => `${hitName}(${newBlock()})`;
  const open = (at: number, text: string): void => void opened.push({ at, text });
  const close = (at: number, text: string): void => void closed.push({ at, text });

  function wrapStatement(node: ts.Statement): void {
    if (ts.isBlock(node)) {
      open(node.getStart() + 1, `${hit()};`);
    } else {
      open(node.getStart(), `{${hit()};`);
      close(node.end, '}');
    }
  }

  function wrapExpression(node: ts.Expression): void {
    open(node.getStart(), `(${hit()},`);
    close(node.end, ')');
  }

  function visit(node: ts.Node): void {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      if (ts.isBlock(node.body)) wrapStatement(node.body);
      else wrapExpression(node.body);
    } else if (ts.isIfStatement(node)) {
      if (node.elseStatement) wrapStatement(node.elseStatement);
      else close(node.end, ` else {${hit()}}`);
      wrapStatement(node.thenStatement);
    } else if (ts.isConditionalExpression(node)) {
      wrapExpression(node.whenTrue);
      wrapExpression(node.whenFalse);
    } else if (ts.isBinaryExpression(node) && isLogical(node.operatorToken.kind)) {
      wrapExpression(node.right);
    } else if (ts.isCaseOrDefaultClause(node)) {
      const [first] = node.statements;
      if (first) open(first.getStart(), `${hit()};`);
    } else if (ts.isIterationStatement(node, false)) {
      wrapStatement(node.statement);
    } else if (ts.isCatchClause(node)) {
      wrapStatement(node.block);
    }
    ts.forEachChild(node, visit);
  }

  visit(tree);
  return insert(source, [...closed.reverse(), ...opened]);
}

type Insertion = { readonly at: number; readonly text: string };

function isLogical(kind: ts.SyntaxKind): boolean {
  return (
    kind === ts.SyntaxKind.AmpersandAmpersandToken ||
    kind === ts.SyntaxKind.BarBarToken ||
    kind === ts.SyntaxKind.QuestionQuestionToken ||
    kind === ts.SyntaxKind.QuestionQuestionEqualsToken
  );
}

/** What is to stand at one place comes in the order of the list. */
function insert(source: string, insertions: readonly Insertion[]): string {
  let text = '';
  let position = 0;
  for (const { at, text: inserted } of insertions.toSorted((a, b) => a.at - b.at)) {
    text += source.slice(position, at) + inserted;
    position = at;
  }
  return text + source.slice(position);
}

/** Short texts that the program compares with or looks up: words that inputs are made of. */
export function wordsOf(file: string, source: string): string[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, false);
  const words: string[] = [];
  function visit(node: ts.Node): void {
    if (ts.isImportDeclaration(node)) return;
    if (ts.isStringLiteral(node)) words.push(node.text);
    else if (ts.isPropertyAssignment(node) && ts.isIdentifier(node.name))
      words.push(node.name.text);
    ts.forEachChild(node, visit);
  }
  visit(tree);
  return words.filter((word) => word.length > 0 && word.length <= 32);
}
