import { cleanup, render, screen } from '@testing-library/react';
import * as React from 'react';
import { findingRows, lineageFacts, planFacts } from '../src/run_facts';
import { Told } from '../src/run_parts';
import { run } from './made';

const PIN = { table: 'retail.train', table_uuid: 'u', snapshot_id: '4898213763321874321', schema_id: 1 };
const UNIT = { id: '00000', rows: 500, read_bytes: 1000, file_bytes: 9000, strategy: 'splice' };
const FULL = {
  plan_hash: '0123456789abcdef',
  spec: { sql: 'SELECT 1' },
  plan: {
    base: PIN,
    identity: 'fedcba9876543210',
    engine: 'local',
    units: [UNIT, { ...UNIT, id: '00001', strategy: 'rewrite' }],
    groups: [['00000'], ['00001']],
    sources: [
      { pin: { ...PIN, table: 'retail.events' }, columns: ['amount'], rows: 9, read_bytes: 1_000_000 }
    ],
    base_columns: ['example_id'],
    columns: [{ name: 'spend', type: 'double' }],
    keys: ['example_id'],
    key_check: 'checked: unique',
    window: { from: '2011-01-01', to: null },
    write_bytes: 20_000,
    write_basis: 'sampled',
    seconds: 90,
    row_wise: false,
    why: 'it has a join',
    checks: ['blocks: rows, keys'],
    conflicts: [],
    overlaps: []
  },
  outputs: {
    staging_table: 'nbplat_staging.spend_1',
    publication: { snapshot_id: '5', previous_snapshot_id: '4898213763321874321' },
    audit: {
      passed: false,
      notes: [],
      findings: [
        { rule: 'rows', column: '', passed: true, blocks: true, message: '1,000 rows', fix: '' },
        { rule: 'nulls', column: 'spend', passed: false, blocks: true, message: '40 %', fix: 'fill them' },
        { rule: 'drift', column: 'spend', passed: false, blocks: false, message: 'PSI 0.4', fix: '' }
      ]
    }
  }
};

afterEach(cleanup);

test('the plan in words: what is read, written and spliced', () => {
  expect(Object.fromEntries(planFacts(FULL))).toEqual({
    files: '2 in 2 queries',
    rows: '1,000',
    reads: '1.0 MB',
    stages: 'about 20.0 kB (sampled)',
    takes: 'about 1 m 30 s',
    promotion: '1 of 2 files are spliced',
    window: '[2011-01-01, …)',
    keys: 'example_id: checked: unique',
    'row by row': 'no: it has a join',
    audit: 'blocks: rows, keys',
    plan: '0123456789ab'
  });
});

test('the lineage names every table with its snapshot, before and after', () => {
  expect(lineageFacts(FULL)).toEqual([
    ['from', 'retail.train at snapshot 4898213763321874321: example_id'],
    ['', 'retail.events at snapshot 4898213763321874321: amount'],
    ['by', 'the body fedcba987654, on local'],
    ['gives', 'spend double'],
    ['staged in', 'nbplat_staging.spend_1'],
    ['promoted to', 'retail.train at snapshot 5'],
    ['before it', 'snapshot 4898213763321874321']
  ]);
});

test('broken findings stand first, with their mend', () => {
  expect(findingRows(FULL).map(row => [row.rule, row.verdict, row.fix])).toEqual([
    ['nulls', 'blocks', 'fill them'],
    ['drift', 'warns', ''],
    ['rows', 'ok', '']
  ]);
});

test('a run that has neither plan nor audit says what it has', () => {
  expect([planFacts(null), lineageFacts({ plan: {} }), findingRows({})]).toEqual([[], [], []]);
  render(<Told run={run()} full={null} />);
  expect(screen.getByText('retail.train')).toBeTruthy();
  expect(screen.queryByRole('region', { name: 'Audit' })).toBeNull();
});

test('the page has a section for each', () => {
  render(<Told run={run()} full={FULL} />);
  const named = ['Plan', 'Audit', 'Lineage'].map(name => screen.getByRole('region', { name }).tagName);
  expect(named).toEqual(['SECTION', 'SECTION', 'SECTION']);
});
