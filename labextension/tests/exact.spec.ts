import { parsedExactly } from '../src/exact';

test('a snapshot id keeps all its digits, and everything else is as it was', () => {
  const text =
    '{"id": 4898213763321874321, "less": -9007199254740993, "n": 12, "x": 0.1234567890123, "y": [0.12345678901234567], "e": 1e21, "s": "is 4898213763321874321, \\"4898213763321874321\\""}';
  expect(parsedExactly(text)).toEqual({
    id: '4898213763321874321',
    less: '-9007199254740993',
    n: 12,
    x: 0.1234567890123,
    y: [Number('0.12345678901234567')],
    e: 1e21,
    s: 'is 4898213763321874321, "4898213763321874321"'
  });
});
