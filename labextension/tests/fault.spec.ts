import { faultOf, misfit } from '../src/fault';

const ABOUT = {
  version: '0.1.0',
  home: '/h',
  root: '/work',
  service: { where: 'here', state: 'running', version: '0.1.0' }
};

test('a record of the service keeps its words and its mend', () => {
  const record = { code: 'job.unknown', message: 'there is no job j9', fix: 'list the jobs' };
  const found = faultOf(404, JSON.stringify(record));
  expect([found.code, found.message, found.fix, found.scope]).toEqual([
    'job.unknown',
    'there is no job j9',
    'list the jobs',
    'request'
  ]);
});

test.each([
  ['service.start', 'way'],
  ['store.version', 'way'],
  ['run.state', 'request']
])('a fault %s lies with the %s', (code, scope) => {
  expect(faultOf(424, JSON.stringify({ code, message: 'm', fix: 'f' })).scope).toBe(scope);
});

test('without the server extension the command that enables it is named', () => {
  expect(faultOf(404, '<html>', true).fix).toContain('jupyter server extension enable nbplat.ui.server');
});

test('a lost login says to log in', () => {
  expect(faultOf(403, '{"message": "Forbidden"}').code).toBe('jupyter.login');
});

test('versions that do not fit are said with the mend', () => {
  expect(misfit(ABOUT, '0.1.0')).toBeNull();
  expect(misfit(ABOUT, '0.0.9')?.code).toBe('extension.version');
  const old = { ...ABOUT, service: { ...ABOUT.service, version: '0.0.1' } };
  expect(misfit(old, '0.1.0')?.fix).toBe('nbplat service stop');
});
