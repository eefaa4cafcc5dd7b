import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import * as React from 'react';
import { Board } from '../src/board';
import { Fault } from '../src/fault';
import { JobView, pictureHolds, unsettled } from '../src/job_view';
import { matching } from '../src/log_tail';
import { PartitionGrid } from '../src/partition_grid';
import { IPartition, ISnapshot } from '../src/records';
import { Truth } from '../src/truth';
import { actions, Clock, FakeServer, job, NOW, run, session } from './made';

const SNAPSHOT: ISnapshot = {
  id: 'j000001',
  kind: 'backfill.stage',
  run_id: 'spend@1',
  state: 'running',
  progress: { done: 5, total: 48, unit: 'files' }
};

function known(more: Partial<Truth> = {}): Truth {
  const truth = new Truth(new FakeServer().service, '0.1.0', new Clock());
  const board = { seq: 1, now_ms: NOW, runs: [run()] };
  return Object.assign(truth, { board, sessions: [session()], environments: [] }, more);
}

afterEach(cleanup);

test('a row is read whole, moved to by arrows, opened by Enter', () => {
  const done = actions();
  render(<Board truth={known()} actions={done} form={null} setForm={jest.fn()} />);
  const row = screen.getByLabelText(/^spend@1, staging, retail.train · ann, 12\/48 units/);
  expect(row.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')).toBe('25');
  const first = screen.getByLabelText(/^warm, idle/);
  expect([first.tabIndex, row.tabIndex]).toEqual([0, -1]);
  act(() => first.focus());
  fireEvent.keyDown(first, { key: 'ArrowDown' });
  expect(document.activeElement).toBe(row);
  fireEvent.keyDown(row, { key: 'Enter' });
  expect(done.openRun).toHaveBeenCalledWith('backfill', 'spend@1');
});

test('nothing ends without being asked', async () => {
  const truth = known();
  truth.cancel = jest.fn(async () => undefined);
  const sure = jest.fn(async () => false);
  render(<Board truth={truth} actions={actions({ confirm: sure })} form={null} setForm={jest.fn()} />);
  await act(async () => {
    fireEvent.click(screen.getByLabelText('Cancel spend@1'));
  });
  expect(sure).toHaveBeenCalledTimes(1);
  expect(truth.cancel).not.toHaveBeenCalled();
});

test('a session is attached to by a cell that is run in plain sight', () => {
  const done = actions();
  render(<Board truth={known()} actions={done} form={null} setForm={jest.fn()} />);
  fireEvent.click(screen.getByLabelText('Attach warm'));
  expect(done.run).toHaveBeenCalledWith('%session attach warm');
});

test('a fault is said with its mend, beside what was known before', () => {
  const fault = new Fault('service.version', 'the service is old', 'nbplat service stop', 'way');
  render(<Board truth={known({ fault })} actions={actions()} form={null} setForm={jest.fn()} />);
  expect(screen.getByRole('alert').textContent).toContain('Fix: nbplat service stop');
  expect(screen.getByText('spend@1')).toBeTruthy();
  expect(screen.getByRole('status').textContent).toMatch(/^As it was at /);
});

test('a part that cannot be listed says why, beside the rest', async () => {
  const server = new FakeServer();
  server.replies['nbplat/api/v1/environments'] = { code: 'env.store', message: 'no folder', fix: 'make it' };
  server.statuses['nbplat/api/v1/environments'] = 424;
  const clock = new Clock();
  const truth = new Truth(server.service, '0.1.0', clock);
  const stop = truth.watch('panel');
  await clock.pass(100);
  render(<Board truth={truth} actions={actions()} form={null} setForm={jest.fn()} />);
  expect(screen.getByText('no folder. Fix: make it')).toBeTruthy();
  expect(screen.getByText(/^No sequence is kept/)).toBeTruthy();
  expect(truth.fault).toBeNull();
  stop();
});

test('what is not known any more teaches nothing', () => {
  const fault = new Fault('jupyter.unreachable', 'no answer', 'start it', 'way');
  render(<Board truth={known({ fault })} actions={actions()} form={null} setForm={jest.fn()} />);
  expect(screen.queryByText(/^No sequence is kept/)).toBeNull();
});

test('a session that failed says why and the mend', () => {
  const error = { code: 'session.start', message: 'Java is not there', fix: 'install Java 17' };
  const sessions = [session({ state: 'error', ended: true, error })];
  render(<Board truth={known({ sessions })} actions={actions()} form={null} setForm={jest.fn()} />);
  expect(screen.getByText('Java is not there. Fix: install Java 17')).toBeTruthy();
});

test('a row leads to its notebook, where that can be opened', () => {
  const done = actions({ notebookOf: (_, asked) => (asked === '/w/a.ipynb' ? 'a.ipynb' : null) });
  const runs = [run({ notebook: '/w/a.ipynb' }), run({ id: 'other@1', notebook: '/else/b.ipynb' })];
  const truth = known({ board: { seq: 1, now_ms: NOW, runs } });
  render(<Board truth={truth} actions={done} form={null} setForm={jest.fn()} />);
  fireEvent.click(screen.getByLabelText('Notebook of spend@1'));
  expect(done.openNotebook).toHaveBeenCalledWith('spend@1', 'a.ipynb');
  expect(screen.queryByLabelText('Notebook of other@1')).toBeNull();
});

test('a cell shows the service, not what was saved', () => {
  render(<JobView truth={known()} snapshot={SNAPSHOT} pictured={true} actions={actions()} />);
  expect(document.querySelector('[data-live]')?.textContent).toContain('12/48 units, 25 %');
});

test('without a service a cell shows what was saved, and says that it is old', () => {
  const truth = known({ board: null, asleep: true });
  render(<JobView truth={truth} snapshot={SNAPSHOT} pictured={true} actions={actions()} />);
  const shown = document.querySelector('[data-saved]')?.textContent;
  expect(shown).toContain('5/48 files');
  expect(shown).toContain('As it was when the cell was drawn: the service does not run');
});

test("the cell's own picture holds until a later job of the run is there", () => {
  const ended = job({ state: 'succeeded', ended: true });
  const saved = { ...SNAPSHOT, state: 'succeeded' };
  const now = (more: Partial<Truth>): Truth => known(more);
  const withRun = (j: typeof ended): Partial<Truth> => ({
    board: { seq: 1, now_ms: NOW, runs: [run({ job: j })] }
  });
  expect(pictureHolds(now(withRun(ended)), saved)).toBe(true);
  expect(pictureHolds(now({ board: null }), saved)).toBe(true);
  expect(pictureHolds(now(withRun({ ...ended, id: 'j000002' })), saved)).toBe(false);
  expect(pictureHolds(now(withRun(ended)), SNAPSHOT)).toBe(false);
});

test('a cell whose job has ended asks nothing more', () => {
  expect(unsettled(known(), SNAPSHOT)).toBe(true);
  const ended = run({ job: job({ state: 'succeeded', ended: true }) });
  expect(unsettled(known({ board: { seq: 1, now_ms: NOW, runs: [ended] } }), SNAPSHOT)).toBe(false);
  expect(unsettled(known({ board: { seq: 1, now_ms: NOW, runs: [] } }), SNAPSHOT)).toBe(false);
});

test('between two jobs of a run a cell asks on, for a while', () => {
  const between = (ago: number, state = 'staged'): boolean => {
    const ended = job({ state: 'succeeded', ended: true, ended_ms: NOW - ago });
    const runs = [run({ state, job: ended, updated_ms: NOW - ago })];
    return unsettled(known({ board: { seq: 1, now_ms: NOW, runs } }), SNAPSHOT);
  };
  expect([between(1000), between(31_000), between(1000, 'awaiting_promotion')]).toEqual([true, false, false]);
});

test('a search keeps the lines that hold all words, with their numbers', () => {
  const text = 'unit 1 done\nunit 2 FAILED\nunit 3 done\n';
  expect(matching(text, 'failed unit')).toEqual([{ number: 2, line: 'unit 2 FAILED' }]);
  expect(matching(text, '').length).toBe(3);
});

test('a partition says how far it is in words, and the grid counts those that are whole', () => {
  const made = (partition: string, done: number, failed = 0): IPartition => ({
    partition,
    files: 2,
    rows: 1000,
    read_bytes: 1_500_000,
    done,
    failed,
    leased: 0
  });
  render(<PartitionGrid partitions={[made('m=1', 2), made('m=2', 1, 1), made('', 0)]} />);
  expect(screen.getByRole('status').textContent).toBe('1 of 3 staged, 1 with failed files');
  expect(
    screen.getByLabelText('m=2: 1 of 2 files staged, 1 failed, 1,000 rows, 1.5 MB to read')
  ).toBeTruthy();
});
