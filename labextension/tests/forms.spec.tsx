import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import * as React from 'react';
import { FormView } from '../src/form_view';
import { cellOf, IField, IForm, problems, startOf } from '../src/forms';
import { suggestions } from '../src/suggestions';
import { Truth } from '../src/truth';
import { actions, Clock, FakeServer, NOW, run } from './made';
// Held against the magics' own parser as well, by tests/lab/test_forms.py.
import CASES from './form_cells.json';

const FORMS = CASES.map(each => each.form as IForm);
const BACKFILL = FORMS.find(each => each.id === 'backfill')!;

afterEach(cleanup);

function field(more: Partial<IField>): IForm {
  const made = { ...BACKFILL.fields[0], name: 'x', flag: '--x-y', required: false, ...more };
  return { ...BACKFILL, fields: [made] };
}

test.each(CASES.map(each => [each.form.id, each]))('the cell of %s', (_, { form, values, body, cell }) => {
  expect(cellOf(form as IForm, values as any, body)).toBe(cell);
});

test('a new form holds what the options hold by themselves, and what is given', () => {
  expect(startOf(BACKFILL)).toMatchObject({ name: '', engine: 'local', dry_run: 'true', wait: '' });
});

test.each([
  [{ required: true }, '', 'x y is needed'],
  [{ type: 'int' }, '1.5', 'x y is a whole number'],
  [{ type: 'float' }, 'much', 'x y is a number'],
  [{ type: 'date' }, 'May', 'x y is a date, like 2011-03-01'],
  [{ type: 'pair', metavar: 'KEY=VALUE' }, 'a=1 b', 'x y is written KEY=VALUE'],
  [{ type: 'pair' }, 'a=1 "b=2 3"', ''],
  [{ type: 'date' }, '2011-03-01', ''],
  [{ type: 'text' }, '', '']
])('%j of %j', (more, value, said) => {
  expect(problems(field(more), { x: value }).map(each => each.text)).toEqual(said ? [said] : []);
});

test('tables and runs that are known are offered', () => {
  const truth = new Truth(new FakeServer().service, '0.1.0', new Clock());
  const staged = run({ state: 'awaiting_promotion' });
  truth.board = { seq: 1, now_ms: NOW, runs: [staged, run({ id: 'later@1', table: '' })] };
  const offered = (name: string): string[] => suggestions(truth, BACKFILL, field({ name }).fields[0]);
  expect([offered('table'), offered('stage'), offered('label')]).toEqual([['retail.train'], ['spend@1'], []]);
});

async function shown(close = jest.fn()): Promise<{ insert: jest.Mock; close: jest.Mock }> {
  const server = new FakeServer();
  server.replies['nbplat/forms'] = { forms: FORMS };
  const truth = new Truth(server.service, '0.1.0', new Clock());
  const insert = jest.fn(() => true);
  await act(async () => {
    render(<FormView truth={truth} section="backfill" actions={actions({ insert })} close={close} />);
  });
  return { insert, close };
}

test('the cell stands below the fields while they are filled in, and is inserted, not run', async () => {
  const { insert, close } = await shown();
  expect(document.activeElement).toBe(screen.getByLabelText(/^name/));
  fireEvent.change(screen.getByLabelText(/^name/), { target: { value: 'spend' } });
  fireEvent.change(screen.getByLabelText(/^table/), { target: { value: 'retail.train' } });
  const line = '%%backfill spend --table retail.train --dry-run\n';
  expect(screen.getByRole('region', { name: 'The cell' }).textContent).toContain(line);
  fireEvent.click(screen.getByText('Insert the cell'));
  expect(insert).toHaveBeenCalledWith(expect.stringContaining(line));
  expect(close).toHaveBeenCalled();
});

test('what is missing is said and gets the focus; nothing is inserted', async () => {
  const { insert, close } = await shown();
  fireEvent.change(screen.getByLabelText(/^name/), { target: { value: 'spend' } });
  fireEvent.click(screen.getByText('Insert the cell'));
  expect(screen.getByRole('alert').textContent).toBe('table is needed');
  expect(document.activeElement).toBe(screen.getByLabelText(/^table/));
  expect(insert).not.toHaveBeenCalled();
  fireEvent.keyDown(document.activeElement!, { key: 'Escape' });
  expect(close).toHaveBeenCalled();
});

test('without the server extension the form says what mends it', async () => {
  const truth = new Truth(new FakeServer().service, '0.1.0', new Clock());
  await act(async () => {
    render(<FormView truth={truth} section="backfill" actions={actions()} close={jest.fn()} />);
  });
  expect(screen.getByRole('alert').textContent).toContain('jupyter server extension enable nbplat.ui.server');
});
