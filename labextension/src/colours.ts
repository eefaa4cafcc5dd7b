/** SQL and YAML in the colours of their own inside cells of Python, without the cell's language being another. */

import { sql, SQLDialect } from '@codemirror/lang-sql';
import { yaml } from '@codemirror/lang-yaml';
import { LanguageSupport, LRLanguage } from '@codemirror/language';
import { Input, Parser, parseMixed } from '@lezer/common';
import { BodyLanguage, bodyOf } from './magic_bodies';

/** Beyond it a cell is no magic cell; only so much is looked at for its first lines. */
const HEAD_CHARS = 4096;

/** Of queries as Spark and DuckDB read them; names in backticks or double quotes. */
const DIALECT = SQLDialect.define({
  keywords:
    'all and anti any as asc asof between by case cast cluster cross cube current default describe desc distinct ' +
    'distribute else end escape except exclude exists explain extract false fetch filter first following for from ' +
    'full group grouping having ilike in inner insert intersect interval into is join last lateral left like limit ' +
    'minus natural not null nulls of offset on only or order outer over partition pivot preceding qualify range ' +
    'recursive replace respect ignore right rlike rollup row rows select semi set sets show some sort table ' +
    'tablesample then ties to true try_cast unbounded union unnest unpivot using values view when where window ' +
    'with within year years quarter quarters month months week weeks day days hour hours minute minutes second seconds',
  types:
    'array bigint binary blob boolean byte char date decimal double float hugeint int integer json list long map ' +
    'numeric real short smallint string struct text time timestamp timestamp_ltz timestamp_ntz timestamptz tinyint ' +
    'ubigint uinteger uuid varchar',
  builtin: '',
  identifierQuotes: '`"'
});

/** Of JupyterLab's registry, what is needed of it: the language of a MIME type, loaded when it is first used. */
export interface ILanguages {
  findByMIME(mime: string): { load?: () => Promise<LanguageSupport>; support?: LanguageSupport } | null;
}

let parsers: { [language in BodyLanguage]: Parser } | null = null;

function parserOf(language: BodyLanguage): Parser {
  parsers ??= { sql: sql({ dialect: DIALECT }).language.parser, yaml: yaml().language.parser };
  return parsers[language];
}

/** Python's language with the bodies of nbplat's magics in theirs. A language of another make is returned as it is. */
export function withBodies(base: LanguageSupport): LanguageSupport {
  if (!(base.language instanceof LRLanguage)) {
    return base;
  }
  const wrap = parseMixed((node, input) => {
    const body = node.type.isTop ? bodyOf(head(input)) : null;
    return body && body.from < node.to
      ? { parser: parserOf(body.language), overlay: [{ from: body.from, to: node.to }] }
      : null;
  });
  return new LanguageSupport(base.language.configure({ wrap }), base.support);
}

/** Let the languages of Python cells know the bodies; cells that are open already keep what they have. */
export function colourBodies(languages: ILanguages): void {
  for (const mime of ['text/x-ipython', 'text/x-python']) {
    const spec = languages.findByMIME(mime);
    if (spec?.load) {
      const load = spec.load.bind(spec);
      spec.load = async () => withBodies(await load());
      spec.support = undefined;
    }
  }
}

function head(input: Input): string {
  return input.read(0, Math.min(input.length, HEAD_CHARS));
}
