import { ago, bytes, duration, progressText, stateWord, timeLeft } from '../src/words';

test.each([
  [0, '< 1 s'],
  [4_200, '4 s'],
  [80_000, '1 m 20 s'],
  [3_600_000, '1 h'],
  [7_500_000, '2 h 5 m'],
  [273_600_000, '3 d 4 h']
])('%d ms is said as %s', (ms, said) => {
  expect(duration(ms)).toBe(said);
});

test('what was a moment ago is just now', () => {
  expect([ago(3_000), ago(200_000)]).toEqual(['just now', '3 m ago']);
});

test('a progress says counts and percent, and 100 % only when all is done', () => {
  expect(progressText({ done: 1999, total: 2000, unit: 'files' })).toBe('1,999/2,000 files, 99 %');
  expect(progressText({ done: 250, total: 1000, unit: '‰' })).toBe('25 %');
  expect(progressText({ done: 7, total: 0, unit: 'rows' })).toBe('7 rows');
  expect(progressText({ done: 0, total: 0, unit: 'rows' })).toBe('');
});

test('the time left follows the speed so far, and is not said too early', () => {
  expect(timeLeft({ done: 25, total: 100, unit: 'x' }, 10_000)).toBe(30_000);
  expect(timeLeft({ done: 1, total: 100, unit: 'x' }, 10_000)).toBeNull();
  expect(timeLeft({ done: 50, total: 100, unit: 'x' }, 1_000)).toBeNull();
  expect(timeLeft({ done: 100, total: 100, unit: 'x' }, 10_000)).toBeNull();
});

test('an unknown state is said as it is', () => {
  expect(stateWord('half_way')).toEqual({ text: 'half way', tone: 'rest' });
});

test('sizes are powers of ten', () => {
  expect([bytes(999), bytes(1_500), bytes(123_456_789)]).toEqual(['999 B', '1.5 kB', '123 MB']);
});
