import { pythonLanguage } from '@codemirror/lang-python';
import { LanguageSupport } from '@codemirror/language';
import { highlightTree, tagHighlighter, tags } from '@lezer/highlight';
import { colourBodies, withBodies } from '../src/colours';
import { bodyOf } from '../src/magic_bodies';

const HIGHLIGHTER = tagHighlighter([
  { tag: tags.keyword, class: 'keyword' },
  { tag: tags.string, class: 'string' },
  { tag: tags.definition(tags.propertyName), class: 'key' }
]);

/** Words by their colour. */
function coloured(text: string): { [kind: string]: string[] } {
  const tree = withBodies(new LanguageSupport(pythonLanguage)).language.parser.parse(text);
  const found: { [kind: string]: string[] } = {};
  highlightTree(tree, HIGHLIGHTER, (from, to, kind) => (found[kind] ??= []).push(text.slice(from, to)));
  return found;
}

test.each([
  ['%%backfill a --table b.c\nSELECT 1', 'sql', 25],
  ['%%sql -o top\nSELECT 1', 'sql', 13],
  ['# why\n\n%%sql\nSELECT 1', 'sql', 13],
  ['%%spark -l sql\nSELECT 1', 'sql', 15],
  ['%%nbplat backfill a\nSELECT 1', 'sql', 20],
  ['%%sequence h\nsource: a', 'yaml', 13],
  ['%%environment e\nchannels: []', 'yaml', 16]
])('%j has a body of its own', (text, language, from) => {
  expect(bodyOf(text)).toEqual({ language, from });
});

test.each([
  'SELECT = 1',
  '%%backfill a --lang python\ndef feature(batch): ...',
  '%%backfill a --lang=python\ndef feature(batch): ...',
  '%%spark\nspark.range(3)',
  '%%training a\nmodel = None',
  '%%time\nimport os',
  '%%constructor\nx',
  'x = 1\n%%sql\nSELECT 1',
  '%%backfill'
])('%j is Python', text => {
  expect(bodyOf(text)).toBeNull();
});

test('a query has the colours of SQL, its magic line none of them', () => {
  const { keyword, string } = coloured(
    "%%backfill a --table b.c\nSELECT x FROM base WHERE y = 'and' QUALIFY 1 = 1\n"
  );
  expect(keyword).toEqual(['SELECT', 'FROM', 'WHERE', 'QUALIFY']);
  expect(string).toEqual(["'and'"]);
});

test('a definition has the colours of YAML', () => {
  expect(coloured('%%sequence h --on a.b\nsource: retail.events\nevents:\n  buy: {last: 20}\n').key).toEqual([
    'source',
    'events',
    'buy',
    'last'
  ]);
});

test('Python stays Python', () => {
  expect(coloured('import os\nfor SELECT in "FROM": pass\n').keyword).toEqual([
    'import',
    'for',
    'in',
    'pass'
  ]);
});

test("JupyterLab's languages are loaded with them, also one that was loaded before", async () => {
  const base = new LanguageSupport(pythonLanguage);
  const spec: any = { load: async () => base, support: base };
  colourBodies({ findByMIME: mime => (mime === 'text/x-ipython' ? spec : null) });
  expect(spec.support).toBeUndefined();
  expect((await spec.load()).language).not.toBe(pythonLanguage);
});
