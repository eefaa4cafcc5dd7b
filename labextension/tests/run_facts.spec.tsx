import { cleanup, render, screen } from '@testing-library/react';
import * as React from 'react';
import { findingRows, lineageFacts, planFacts } from '../src/run_facts';
import { sequenceFacts } from '../src/sequence_facts';
import { coverageRows, scoreRows, trainingFacts, trainingLineage } from '../src/training_facts';
import { Told } from '../src/run_parts';

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
    promotion: 'splices 1 of 2 files',
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
  render(<Told full={null} />);
  expect(screen.queryByRole('region', { name: 'Audit' })).toBeNull();
});

test('the page has a section for each', () => {
  render(<Told full={FULL} />);
  const named = ['Plan', 'Audit', 'Lineage'].map(name => screen.getByRole('region', { name }).tagName);
  expect(named).toEqual(['SECTION', 'SECTION', 'SECTION']);
});

const SPEC = JSON.parse('{"label": "label"}');
const TRAINED = {
  kind: 'training',
  spec: SPEC,
  outputs: {
    auc_without: { value: 0.6555, low: 0.61, high: 0.7 },
    auc_with: { value: 0.6584, low: 0.614, high: 0.7005 },
    gain: { value: 0.0029, low: -0.0009, high: 0.0051 },
    staged_features: ['spend'],
    label_share_test: 0.41,
    coverage: [{ ref: 'spend@1', period: '2011-01', how: 'aligned', rows: 1200, covered: 600 }],
    provenance: { snapshots: { 'retail.train': '5' }, seed: 7, runs: ['spend@1'], held: 'nb-join-1' }
  }
};

test('a training says what the joined columns gain, with intervals and signs', () => {
  expect(scoreRows(TRAINED)).toEqual([
    ['without spend', '0.6555', '0.6100 to 0.7000'],
    ['with spend', '0.6584', '0.6140 to 0.7005'],
    ['gain', '+0.0029', '-0.0009 to +0.0051']
  ]);
  expect(coverageRows(TRAINED)).toEqual([['spend@1', '2011-01', '1,200', '50.0 %', 'aligned']]);
  expect(trainingFacts(TRAINED)).toContainEqual(['label', 'label, 41.0 % of the test rows']);
  expect(trainingLineage(TRAINED)).toContainEqual(['from', 'retail.train at snapshot 5']);
});

test('a sequence says its events, its time and whether its index is built', () => {
  const record = {
    source: 'retail.events',
    entity: ['customer_id'],
    time: 'event_ts',
    events: { purchase: { last: 20, within_us: 7_776_000_000_000, where: null } },
    as_of: { time: 'label_ts', strict: true, gap_us: 300_000_000 }
  };
  const facts = sequenceFacts({ kind: 'sequence', name: 'h', spec: { record }, outputs: {} });
  expect(facts).toContainEqual(['purchase', 'last 20, within 90 d']);
  expect(facts).toContainEqual(['as of', 'before label_ts, with a gap of 5 m']);
  expect(facts).toContainEqual(['index', 'not built: %sequence build h']);
});

test('facts of one kind say nothing of another', () => {
  expect([sequenceFacts(TRAINED), trainingFacts(FULL), scoreRows(null), trainingLineage({})]).toEqual([
    [],
    [],
    [],
    []
  ]);
});
