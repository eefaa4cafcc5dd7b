/** The words of this page in the language that JupyterLab is set to. */

/** Of JupyterLab's translation bundle, what is used here: `%1` and on stand for the values. */
export interface IWords {
  __(text: string, ...values: unknown[]): string;
  _n(one: string, many: string, count: number, ...values: unknown[]): string;
}

/** The name under which translations are made and looked up. */
export const DOMAIN = 'nbplat_lab';

/** As they are written. */
const ENGLISH: IWords = {
  __: (text, ...values) => filled(text, values),
  _n: (one, many, count, ...values) => filled(count === 1 ? one : many, [count, ...values])
};

let words: IWords = ENGLISH;

/** Speak with another's words from now on; null: English. */
export function speakWith(bundle: IWords | null): void {
  words = bundle ?? ENGLISH;
}

/** One for all modules: views are made long after the language is known. */
export const trans: IWords = {
  __: (text, ...values) => words.__(text, ...values),
  _n: (one, many, count, ...values) => words._n(one, many, count, ...values)
};

function filled(text: string, values: unknown[]): string {
  // As JupyterLab's: a doubled percent sign is one.
  return text.replace(/%%|%(\d+)/g, (whole, at) => (at ? String(values[Number(at) - 1]) : '%'));
}
