import { insertWords, LESSONS } from '../src/lessons';
import { speakWith, trans } from '../src/translation';
import { stateWord } from '../src/words';

afterEach(() => speakWith(null));

test('English without a translator, with values and numbers in their places', () => {
  expect(trans.__('Insert a %1 cell', '%%backfill')).toBe('Insert a %%backfill cell');
  expect(trans._n('%1 line', '%1 lines', 1)).toBe('1 line');
  expect(trans._n('%1 line with “%2”', '%1 lines with “%2”', 3, 'x')).toBe('3 lines with “x”');
});

test('words that are made after the language is known are in that language', () => {
  speakWith({ __: text => `<${text}>`, _n: one => one });
  expect([stateWord('staging').text, insertWords(LESSONS.backfill())]).toEqual(['<staging>', '<Insert %1>']);
});
