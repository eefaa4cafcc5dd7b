/** The left panel's inside: a filter, what is wrong, and five sections of rows. */

import * as React from 'react';
import { attachTo, IActions, openRow, stopRow } from './actions';
import { Bar, State } from './bar';
import { useTruth } from './changes';
import { FORM_TITLES, ILesson, insertWords, LESSONS } from './lessons';
import { FormView } from './form_view';
import { IRow, ISection, SectionId, sections } from './rows';
import { SearchBox } from './search_box';
import { trans } from './translation';
import { Trouble } from './trouble';
import { Truth } from './truth';

/** Rows of a section before one asks for more. */
const FIRST = 12;

interface IBoardProps {
  truth: Truth;
  actions: IActions;
  /** The form that is shown in place of the sections; null: none. */
  form: SectionId | null;
  setForm: (section: SectionId | null) => void;
}

export function Board(props: IBoardProps): JSX.Element {
  const { truth, actions, form, setForm } = props;
  const [filter, setFilter] = React.useState('');
  const [closed, setClosed] = React.useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = React.useState<string | null>(null);
  const found = sections(truth, filter);
  const live = found.reduce((sum, each) => sum + each.live, 0);
  useTruth(truth, live > 0);
  const shown = found.filter(each => !closed.has(each.id)).flatMap(each => each.rows ?? []);
  const current = shown.some(row => row.key === active) ? active : (shown[0]?.key ?? null);

  const toggle = (id: string): void => {
    const next = new Set(closed);
    if (!next.delete(id)) {
      next.add(id);
    }
    setClosed(next);
  };

  if (form) {
    return <FormView truth={truth} section={form} actions={actions} close={() => setForm(null)} />;
  }
  return (
    <div className="nbp-board" onKeyDown={event => onKey(event, shown, truth, actions)}>
      <SearchBox
        words={filter}
        hint={trans.__('Filter')}
        label={trans.__('Filter by name, table, state or owner')}
        set={setFilter}
      >
        <button
          className="nbp-tool"
          title={trans.__('Refresh')}
          aria-label={trans.__('Refresh')}
          onClick={() => truth.refresh()}
        >
          ↻
        </button>
      </SearchBox>
      {truth.fault && <Trouble fault={truth.fault} actions={actions} />}
      <p className="nbp-aside" role="status">
        {summary(truth, found)}
      </p>
      {found.map(section => (
        <Section
          key={section.id}
          section={section}
          open={!closed.has(section.id)}
          toggle={() => toggle(section.id)}
          filtered={filter.trim() !== ''}
          current={current}
          setActive={setActive}
          truth={truth}
          actions={actions}
          fill={() => setForm(section.id)}
        />
      ))}
    </div>
  );
}

interface ISectionProps {
  section: ISection;
  open: boolean;
  toggle: () => void;
  filtered: boolean;
  current: string | null;
  setActive: (key: string) => void;
  truth: Truth;
  actions: IActions;
  /** Open the section's form. */
  fill: () => void;
}

function Section(props: ISectionProps): JSX.Element {
  const { section, open, filtered } = props;
  const [all, setAll] = React.useState(false);
  const rows = section.rows;
  const first = all || !rows ? rows : rows.slice(0, FIRST);
  const body = `nbp-section-${section.id}`;
  return (
    <section className="nbp-section" aria-label={section.title}>
      <div className="nbp-section-head">
        <h3>
          <button className="nbp-head" aria-expanded={open} aria-controls={body} onClick={props.toggle}>
            <span className="nbp-caret" aria-hidden="true">
              {open ? '▾' : '▸'}
            </span>
            {section.title}
            <span className="nbp-count">
              {section.live ? trans.__('%1 running · ', section.live) : ''}
              {rows ? rows.length : section.trouble ? '?' : '…'}
            </span>
          </button>
        </h3>
        <button
          className="nbp-tool nbp-new"
          title={FORM_TITLES[section.id]()}
          aria-label={FORM_TITLES[section.id]()}
          onClick={props.fill}
        >
          +
        </button>
      </div>
      <div id={body} hidden={!open}>
        {open && section.trouble && <p className="nbp-error nbp-part-error">{section.trouble}</p>}
        {open && first && first.length > 0 && (
          <ul className="nbp-rows" aria-label={section.title}>
            {first.map(row => (
              <Row key={row.key} row={row} {...props} />
            ))}
          </ul>
        )}
        {open && rows && first && rows.length > first.length && (
          <button className="nbp-link nbp-more" onClick={() => setAll(true)}>
            {trans.__('Show %1 more', rows.length - first.length)}
          </button>
        )}
        {open && rows?.length === 0 && filtered && (
          <p className="nbp-aside">{trans.__('Nothing fits the filter.')}</p>
        )}
        {open && rows?.length === 0 && !filtered && !props.truth.fault && (
          <Lesson lesson={LESSONS[section.id]()} actions={props.actions} />
        )}
      </div>
    </section>
  );
}

function Lesson(props: { lesson: ILesson; actions: IActions }): JSX.Element {
  const { lesson, actions } = props;
  return (
    <div className="nbp-lesson">
      <p>{lesson.text}</p>
      <button className="nbp-button" onClick={() => actions.insert(lesson.cell)}>
        {insertWords(lesson)}
      </button>
    </div>
  );
}

interface IRowProps {
  row: IRow;
  current: string | null;
  setActive: (key: string) => void;
  truth: Truth;
  actions: IActions;
}

const Row = (props: IRowProps): JSX.Element => {
  const { row, current, truth, actions } = props;
  const focused = row.key === current;
  return (
    <li
      className="nbp-row"
      data-row={row.key}
      data-tone={row.tone}
      tabIndex={focused ? 0 : -1}
      aria-label={[row.title, row.state, row.about, row.figures, row.error].filter(Boolean).join(', ')}
      onFocus={() => props.setActive(row.key)}
      onDoubleClick={() => openRow(row, actions)}
    >
      <div className="nbp-row-top">
        <span className="nbp-title" title={row.title}>
          {row.title}
        </span>
        <State tone={row.tone} text={row.state} />
      </div>
      {row.about && (
        <div className="nbp-aside nbp-cut" title={row.about}>
          {row.about}
        </div>
      )}
      {row.run?.job && !row.run.job.ended && (
        <Bar share={row.share} label={trans.__('Progress of %1', row.title)} />
      )}
      <div className="nbp-row-end">
        <span className="nbp-aside">{row.figures}</span>
        <span className="nbp-acts">
          <Acts row={row} truth={truth} actions={actions} tabIndex={focused ? 0 : -1} />
        </span>
      </div>
      {row.doing && <div className="nbp-aside nbp-cut">{row.doing}</div>}
      {row.error && (
        <div className="nbp-error" title={row.error}>
          {row.error}
        </div>
      )}
    </li>
  );
};

function Acts(props: { row: IRow; truth: Truth; actions: IActions; tabIndex: number }): JSX.Element {
  const { row, truth, actions, tabIndex } = props;
  const act = (label: string, read: string, work: () => void, more?: string): JSX.Element => (
    <button className="nbp-link" tabIndex={tabIndex} aria-label={read} title={more} onClick={work}>
      {label}
    </button>
  );
  const session = row.session;
  const notebook = actions.notebookOf(row.run?.id ?? null, row.notebook);
  return (
    <>
      {(row.run || session || row.environment) &&
        act(trans.__('Open'), trans.__('Open %1', row.title), () => openRow(row, actions))}
      {row.logJob &&
        act(trans.__('Log'), trans.__('Log of %1', row.title), () =>
          actions.openJobLog(row.logJob!, row.title)
        )}
      {notebook !== null &&
        act(
          trans.__('Notebook'),
          trans.__('Notebook of %1', row.title),
          () => actions.openNotebook(row.run?.id ?? null, notebook),
          notebook
        )}
      {session &&
        !session.ended &&
        act(trans.__('Attach'), trans.__('Attach %1', row.title), () => attachTo(row, actions))}
      {session &&
        !session.ended &&
        act(trans.__('Stop'), trans.__('Stop %1', row.title), () => void stopRow(row, truth, actions))}
      {row.cancelJob &&
        act(trans.__('Cancel'), trans.__('Cancel %1', row.title), () => void stopRow(row, truth, actions))}
    </>
  );
}

function onKey(
  event: React.KeyboardEvent<HTMLElement>,
  shown: IRow[],
  truth: Truth,
  actions: IActions
): void {
  const focused = event.target as HTMLElement;
  const key = focused.getAttribute('data-row');
  if (key === null) {
    return;
  }
  const rows = Array.from(event.currentTarget.querySelectorAll<HTMLElement>('[data-row]'));
  const at = rows.indexOf(focused);
  const row = shown.find(each => each.key === key);
  const moves: { [name: string]: number } = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    Home: 0,
    End: rows.length - 1
  };
  if (event.key in moves) {
    rows[Math.min(rows.length - 1, Math.max(0, moves[event.key]))]?.focus();
  } else if (event.key === 'Enter' && row) {
    openRow(row, actions);
  } else if (event.key === 'Delete' && row) {
    void stopRow(row, truth, actions);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

/** What goes on; while nothing can be known, only when that was last known. */
function summary(truth: Truth, found: ISection[]): string {
  if (!truth.board) {
    return truth.fault ? '' : trans.__('Asking the service …');
  }
  if (truth.fault) {
    return trans.__('As it was at %1.', new Date(truth.board.now_ms).toLocaleTimeString());
  }
  const running = found
    .filter(each => each.live > 0)
    .map(each => trans.__('%1 in %2', each.live, each.title.toLowerCase()));
  return running.length ? trans.__('Running: %1.', running.join(', ')) : trans.__('Nothing is running.');
}
