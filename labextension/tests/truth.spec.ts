import { Truth, INews } from '../src/truth';
import { Clock, FakeServer, job, NOW, run, session } from './made';

function world(): { clock: Clock; server: FakeServer; truth: Truth } {
  const clock = new Clock();
  const server = new FakeServer();
  return { clock, server, truth: new Truth(server.service, '0.1.0', clock) };
}

const BOARD = 'nbplat/api/v1/board';
const asks = (server: FakeServer): number => server.asked.filter(each => each.includes('/board')).length;

test('nobody looks, nothing is asked', async () => {
  const { clock, server, truth } = world();
  truth.refresh();
  truth.hear({ seq: 1, run_id: 'a@1', job_id: 'j1', state: 'running' });
  await clock.pass(60_000);
  expect(server.asked).toEqual([]);
});

test('whoever looks gets the truth at once, and then every four seconds', async () => {
  const { clock, server, truth } = world();
  server.replies[BOARD] = { seq: 1, now_ms: NOW, runs: [run()] };
  const stop = truth.watch('panel');
  await clock.pass(0);
  expect(truth.board?.runs[0].id).toBe('spend@1');
  await clock.pass(8_500);
  expect(asks(server)).toBe(3);
  stop();
  await clock.pass(60_000);
  expect(asks(server)).toBe(3);
});

test('a page in the background asks nothing, and asks at once when it is in front again', async () => {
  const { clock, server, truth } = world();
  truth.watch('panel');
  await clock.pass(0);
  truth.pageVisible = false;
  await clock.pass(60_000);
  expect(asks(server)).toBe(1);
  truth.pageVisible = true;
  await clock.pass(0);
  expect(asks(server)).toBe(2);
});

test('events by the hundred make two requests a second at most', async () => {
  const { clock, server, truth } = world();
  truth.watch('panel');
  await clock.pass(0);
  for (let round = 0; round < 100; round++) {
    truth.hear({ seq: round, run_id: 'a@1', job_id: 'j7', state: 'running' });
    await clock.pass(20);
  }
  expect(asks(server)).toBeLessThanOrEqual(5);
});

test('a counter is shown without asking, and never goes back', async () => {
  const { clock, server, truth } = world();
  server.replies[BOARD] = { seq: 1, now_ms: NOW, runs: [run()] };
  truth.watch('panel');
  await clock.pass(0);
  truth.hear({ seq: 2, run_id: 'spend@1', job_id: 'j000001', done: 20, total: 48 });
  truth.hear({ seq: 3, run_id: 'spend@1', job_id: 'j000001', done: 15, total: 48 });
  expect(truth.board?.runs[0].job?.progress.done).toBe(20);
  expect(asks(server)).toBe(1);
});

test('the end of a job that was seen alive is news, once', async () => {
  const { clock, server, truth } = world();
  const news: INews[] = [];
  truth.onNews(each => news.push(each));
  server.replies[BOARD] = { seq: 1, now_ms: NOW, runs: [run()] };
  truth.watch('panel');
  await clock.pass(0);
  const failed = run({ state: 'planned', job: job({ state: 'failed', ended: true }) });
  server.replies[BOARD] = { seq: 2, now_ms: NOW, runs: [failed] };
  await clock.pass(9_000);
  expect(news).toEqual([{ run: failed, failed: true }]);
});

test('the end of a run is told though its last job was never seen alive', async () => {
  const { clock, server, truth } = world();
  const news: string[] = [];
  truth.onNews(each => news.push(`${each.run.state} ${each.run.job?.id}`));
  const at = (state: string, id: string, ended: boolean): void => {
    const made = job({
      id,
      state: ended ? 'succeeded' : 'running',
      ended,
      ended_ms: ended ? clock.now() : null
    });
    const board = { seq: 1, now_ms: clock.now(), runs: [run({ state, job: made, updated_ms: clock.now() })] };
    server.replies[BOARD] = board;
  };
  at('staging', 'j1', false);
  truth.watch('panel');
  await clock.pass(0);
  at('staged', 'j1', true);
  await clock.pass(4_500);
  expect([news, truth.anyGoesOn]).toEqual([[], true]);
  at('awaiting_promotion', 'j2', true);
  await clock.pass(4_500);
  expect([news, truth.anyGoesOn]).toEqual([['awaiting_promotion j2'], false]);
});

test('a server that is away is said, and the truth is back when it is', async () => {
  const { clock, server, truth } = world();
  truth.watch('panel');
  await clock.pass(0);
  server.down = true;
  await clock.pass(4_500);
  expect(truth.fault?.code).toBe('jupyter.unreachable');
  server.down = false;
  await clock.pass(4_500);
  expect(truth.fault).toBeNull();
});

test('sessions that cannot be listed leave the rest as it is', async () => {
  const { clock, server, truth } = world();
  server.replies['nbplat/api/v1/sessions'] = { total: 1, sessions: [session()] };
  truth.watch('panel');
  await clock.pass(0);
  server.replies['nbplat/api/v1/sessions'] = { code: 'session.broken', message: 'm', fix: 'f' };
  server.statuses['nbplat/api/v1/sessions'] = 400;
  await clock.pass(4_500);
  expect([truth.fault, truth.sessions?.length]).toEqual([null, 1]);
});

test('a job that was asked to end says so before the service does', async () => {
  const { clock, server, truth } = world();
  server.replies[BOARD] = { seq: 1, now_ms: NOW, runs: [run()] };
  server.replies['nbplat/api/v1/jobs/j000001/cancel'] = job();
  truth.watch('panel');
  await clock.pass(0);
  const asked = truth.cancel('j000001');
  expect(truth.board?.runs[0].job?.cancelling).toBe(true);
  await asked;
  expect(server.asked).toContain('POST nbplat/api/v1/jobs/j000001/cancel');
});

test('the clock of the service counts, not that of the page', async () => {
  const { clock, server, truth } = world();
  server.replies[BOARD] = { seq: 1, now_ms: NOW + 90_000, runs: [] };
  truth.watch('panel');
  await clock.pass(0);
  expect(truth.nowMs()).toBe(NOW + 90_000);
});

test('a cell starts no service: it learns that none runs, and asks for nothing else', async () => {
  const { clock, server, truth } = world();
  const stopped = { where: 'here', state: 'stopped', version: null };
  server.replies['nbplat/about'] = { version: '0.1.0', home: '/h', service: stopped };
  const stop = truth.watch('cell');
  await clock.pass(9_000);
  expect([truth.asleep, new Set(server.asked)]).toEqual([true, new Set(['GET nbplat/about'])]);
  stop();
  truth.watch('panel');
  await clock.pass(1_000);
  expect([truth.asleep, asks(server)]).toEqual([false, 1]);
});

test('the count in the status bar asks four times a minute', async () => {
  const { clock, server, truth } = world();
  truth.watch('count');
  await clock.pass(59_000);
  expect(asks(server)).toBe(4);
});

test('the log of a job is followed while it runs, and while nothing is known', async () => {
  const { clock, server, truth } = world();
  expect(truth.jobIsLive('j000001')).toBe(true);
  server.replies[BOARD] = { seq: 1, now_ms: NOW, runs: [run()] };
  truth.watch('panel');
  await clock.pass(0);
  expect([truth.jobIsLive('j000001'), truth.jobIsLive('j000000')]).toEqual([true, false]);
  server.replies[BOARD] = {
    seq: 2,
    now_ms: NOW,
    runs: [run({ job: job({ state: 'succeeded', ended: true }) })]
  };
  await clock.pass(8_500);
  expect(truth.jobIsLive('j000001')).toBe(false);
});
