import { fileName, IPlace, linkOf, pathBelow, placeOf } from '../src/place';

const PAGE = 'https://hub.example/user/a%40b/lab/tree/x.ipynb?token=secret&reset#cell';

test.each([
  [{ what: 'run', kind: 'backfill', id: 'spend_90d@1' }, 'run/backfill/spend_90d@1'],
  [{ what: 'session', id: '3' }, 'session/3'],
  [{ what: 'environment', id: 'ab12' }, 'environment/ab12'],
  [{ what: 'log', id: 'j000001' }, 'log/j000001']
] as [IPlace, string][])('a link to %j leads back to it, and holds no token', (place, text) => {
  const link = linkOf(place, PAGE);
  expect(link).toBe(`https://hub.example/user/a%40b/lab/tree/x.ipynb?nbplat=${text}`);
  expect(placeOf(new URL(link).search)).toEqual(place);
});

test.each([
  '',
  '?nbplat=',
  '?nbplat=run/backfill',
  '?nbplat=run//x',
  '?nbplat=else/1',
  '?nbplat=log/a/b',
  '?x=1'
])('%j names no place', search => {
  expect(placeOf(search)).toBeNull();
});

test.each([
  ['/home/ann', '/home/ann/studies/one.ipynb', 'studies/one.ipynb'],
  ['/home/ann/', '/home/ann/one.ipynb', 'one.ipynb'],
  ['/', '/one.ipynb', 'one.ipynb'],
  ['C:\\ann', 'C:\\ann\\one.ipynb', 'one.ipynb'],
  ['/home/ann', '/home/anna/one.ipynb', null],
  ['/home/ann', '', null],
  ['', '', null]
])('below %j the notebook %j is %j', (root, path, below) => {
  expect(pathBelow(root, path)).toBe(below);
  expect(fileName(path)).toBe(path ? 'one.ipynb' : '');
});
