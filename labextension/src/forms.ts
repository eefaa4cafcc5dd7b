/** A form's values as the text of a cell. What the fields are comes from the server extension. */

import { trans } from './translation';

export interface IField {
  name: string;
  /** Empty: the value stands by itself, in order. */
  flag: string;
  type: string;
  help: string;
  metavar: string;
  choices: string[];
  /** What it is when nothing is said; then nothing is written. */
  default: string;
  /** What the field starts with. */
  given: string;
  required: boolean;
  /** Takes several, divided by spaces. */
  many: boolean;
  /** Shown at once. */
  first: boolean;
}

export interface IForm {
  id: string;
  magic: string;
  summary: string;
  /** What the body starts with. */
  body: string;
  body_language: 'none' | 'sql' | 'yaml' | 'python';
  fields: IField[];
}

export type Values = { [name: string]: string };

/** What a new form holds; a box that is on holds `true`. */
export function startOf(form: IForm): Values {
  return Object.fromEntries(form.fields.map(field => [field.name, field.given || field.default]));
}

/** The cell that a form makes; with fields that are missing it is what can be said so far. */
export function cellOf(form: IForm, values: Values, body: string): string {
  const words = form.fields.flatMap(field => wordsOf(field, (values[field.name] ?? '').trim()));
  // What stands by itself stands first.
  const ordered = [...words.filter(each => !each.flag), ...words.filter(each => each.flag)];
  const line = [form.magic, ...ordered.map(each => each.text)].join(' ');
  return form.body_language === 'none' ? line : `${line}\n${body.replace(/\s+$/, '')}`;
}

/** The fields that lack a value or hold one that cannot be, each with what to do. */
export function problems(form: IForm, values: Values): { field: string; text: string }[] {
  return form.fields.flatMap(field => {
    const value = (values[field.name] ?? '').trim();
    const text = problemOf(field, value);
    return text ? [{ field: field.name, text }] : [];
  });
}

function problemOf(field: IField, value: string): string {
  const label = labelOf(field);
  if (!value) {
    return field.required ? trans.__('%1 is needed', label) : '';
  }
  if (field.type === 'int' && !/^-?\d+$/.test(value)) {
    return trans.__('%1 is a whole number', label);
  }
  if (field.type === 'float' && !Number.isFinite(Number(value))) {
    return trans.__('%1 is a number', label);
  }
  if (field.type === 'date' && !/^\d{4}-\d{2}-\d{2}(T.*)?$/.test(value)) {
    return trans.__('%1 is a date, like 2011-03-01', label);
  }
  if (field.type === 'pair' && !split(value).every(each => /^[^=]+=.+$/.test(each))) {
    return trans.__('%1 is written %2', label, field.metavar);
  }
  return '';
}

/** `driver memory` of `--driver-memory`; `name` of what stands by itself. */
export function labelOf(field: IField): string {
  return (field.flag ? field.flag.replace(/^-+/, '') : field.metavar.toLowerCase()).replace(/[-_]/g, ' ');
}

function wordsOf(field: IField, value: string): { flag: boolean; text: string }[] {
  if (field.type === 'flag') {
    return value === 'true' ? [{ flag: true, text: field.flag }] : [];
  }
  if (!value || (field.flag && value === field.default)) {
    return [];
  }
  const texts = field.many ? split(value) : [value];
  return texts.map(text => ({
    flag: field.flag !== '',
    text: field.flag ? `${field.flag} ${quoted(text)}` : quoted(text)
  }));
}

/** At spaces that stand outside quotes; the quotes are taken off. */
function split(value: string): string[] {
  const found = value.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? [];
  return found.map(each => each.replace(/"([^"]*)"|'([^']*)'/g, (_, a, b) => a ?? b));
}

/** As a shell reads it, which is how a magic's line is read. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'"'"'`)}'`;
}
