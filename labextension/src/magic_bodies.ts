/** Which language stands below a magic's line; read from the text alone. */

export type BodyLanguage = 'sql' | 'yaml';

export interface IBody {
  language: BodyLanguage;
  /** Where the body begins: after the line of the magic. */
  from: number;
}

/** Bodies that are not Python; `configure` is sparkmagic's, of JSON, which is YAML as well. */
const LANGUAGES: { [magic: string]: BodyLanguage } = {
  backfill: 'sql',
  sql: 'sql',
  sequence: 'yaml',
  environment: 'yaml',
  env: 'yaml',
  configure: 'yaml'
};

/** Blank lines and comments may stand above the magic, as the kernel allows. */
const MAGIC = /^(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*%%(\w+)([^\n]*)\n/;

/** The body of a cell magic of nbplat that is not Python; null: it is Python, or there is none. */
export function bodyOf(text: string): IBody | null {
  const found = MAGIC.exec(text);
  if (!found) {
    return null;
  }
  const [whole, magic, line] = found;
  const language = languageOf(magic, line);
  return language && { language, from: whole.length };
}

function languageOf(magic: string, line: string): BodyLanguage | null {
  if (magic === 'backfill' && /\s--(lang[\s=]+python|python)\b/.test(line)) {
    return null;
  }
  if (magic === 'spark' || magic === 'nbplat') {
    return /\s(-l|--lang|--language)[\s=]*sql\b/.test(line) ? 'sql' : nounBody(magic, line);
  }
  return Object.prototype.hasOwnProperty.call(LANGUAGES, magic) ? LANGUAGES[magic] : null;
}

/** `%%nbplat backfill …` is `%%backfill …`. */
function nounBody(magic: string, line: string): BodyLanguage | null {
  const noun = /^\s+(\w+)(.*)$/.exec(line);
  return magic === 'nbplat' && noun && noun[1] !== 'nbplat' ? languageOf(noun[1], noun[2]) : null;
}
