import { runRow, sections } from '../src/rows';
import { Truth } from '../src/truth';
import { Clock, FakeServer, job, NOW, run, session } from './made';

function truthOf(more: Partial<Truth>): Truth {
  const truth = new Truth(new FakeServer().service, '0.1.0', new Clock());
  return Object.assign(truth, more);
}

test('a running run says what is done, how far, for how long and how long still', () => {
  const row = runRow(run(), NOW);
  expect([row.title, row.state, row.tone, row.about, row.share]).toEqual([
    'spend@1',
    'staging',
    'live',
    'retail.train · ann',
    0.25
  ]);
  expect(row.figures).toBe('12/48 units, 25 %, 1 m, about 3 m left');
  expect([row.cancelJob, row.logJob]).toEqual(['j000001', 'j000001']);
});

test('a queued job waits, and a cancelled one cannot be cancelled twice', () => {
  const queued = job({ state: 'queued', started_ms: null, progress: { done: 0, total: 0, unit: 'units' } });
  expect([runRow(run({ job: queued }), NOW).state, runRow(run({ job: queued }), NOW).figures]).toEqual([
    'queued',
    'waits 1 m 5 s'
  ]);
  const ending = runRow(run({ job: job({ cancelling: true }) }), NOW);
  expect([ending.state, ending.cancelJob]).toEqual(['cancelling', null]);
});

test('a failed step names itself, what went wrong and the mend', () => {
  const error = { code: 'table.unknown', message: 'there is no table x', fix: 'did you mean y' };
  const ended = job({ state: 'failed', ended: true, ended_ms: NOW, error });
  const row = runRow(run({ state: 'planned', job: ended }), NOW);
  expect([row.state, row.tone, row.error]).toEqual([
    'stage failed',
    'bad',
    'there is no table x. Fix: did you mean y'
  ]);
});

test('before the service has answered no section claims to be empty', () => {
  expect(sections(truthOf({})).map(each => each.rows)).toEqual([null, null, null, null, null]);
});

test('each thing stands in its section, the living first', () => {
  const ended = run({ id: 'a@1', state: 'promoted', job: job({ state: 'succeeded', ended: true }) });
  const truth = truthOf({
    board: { seq: 1, now_ms: NOW, runs: [ended, run(), run({ kind: 'training', id: 'buys@1', job: null })] },
    sessions: [session({ id: 1, state: 'dead', ended: true }), session({ id: 2, state: 'busy' })],
    environments: [
      {
        name: 'features',
        key: 'k',
        platform: 'linux-64',
        python: '3.12',
        packages: 30,
        built_ms: NOW - 3_600_000,
        used_ms: null,
        running: [],
        size_bytes: 412_000_000
      }
    ]
  });
  const found = sections(truth);
  expect(found.map(each => [each.id, each.rows?.map(row => row.id), each.live])).toEqual([
    ['sessions', ['warm', 'warm'], 1],
    ['backfill', ['spend@1', 'a@1'], 1],
    ['training', ['buys@1'], 0],
    ['environment', ['features'], 0],
    ['sequence', [], 0]
  ]);
  expect(found[3].rows?.[0].figures).toBe('412 MB, built 1 h ago');
  expect(sections(truth, 'PROMOTED a@')[1].rows?.map(row => row.id)).toEqual(['a@1']);
});

test('five hundred runs are rows in less than half a second', () => {
  const runs = Array.from({ length: 500 }, (_, n) => run({ id: `r@${n}` }));
  const truth = truthOf({ board: { seq: 1, now_ms: NOW, runs }, sessions: [], environments: [] });
  const began = performance.now();
  expect(sections(truth)[1].rows?.length).toBe(500);
  expect(performance.now() - began).toBeLessThan(500);
});

test('a training offers no log: what it prints stands in its cell', () => {
  expect(runRow(run({ kind: 'training', state: 'training' }), NOW).logJob).toBeNull();
});
