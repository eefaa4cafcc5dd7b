/** What rows and cells can do beyond asking the service; JupyterLab does it. */

import { IPlace } from './place';
import { IRow } from './rows';
import { trans } from './translation';
import { Truth } from './truth';

export interface IActions {
  /** Put a cell below the active one of the notebook in front; false when there is none. */
  insert(cell: string): boolean;
  /** The same, and run it there, where everybody sees it. */
  run(cell: string): boolean;
  openRun(kind: string, id: string): void;
  openJobLog(jobId: string, title: string): void;
  openSession(id: number, title: string): void;
  openEnvironment(key: string, title: string): void;
  /**
   * The notebook that a row leads to, as the file browser names it; null: none can be opened here.
   *
   * @param runId - Of a run: a cell that shows it in a notebook which is open comes first.
   * @param asked - Path of the notebook that it was asked for from, as its kernel was told.
   */
  notebookOf(runId: string | null, asked: string): string | null;
  /** Open it, at the cell that shows the run. */
  openNotebook(runId: string | null, path: string): void;
  copy(text: string): void;
  /** The address of this page with the place in it, into the clipboard. */
  copyLink(place: IPlace): void;
  /** Ask before something ends. */
  confirm(question: string, what: string, doIt: string): Promise<boolean>;
  failed(error: unknown): void;
}

/** What Enter does on a row. */
export function openRow(row: IRow, actions: IActions): void {
  if (row.session) {
    actions.openSession(row.session.id, row.title);
  } else if (row.run) {
    actions.openRun(row.run.kind, row.run.id);
  } else if (row.environment) {
    actions.openEnvironment(row.environment.key, row.title);
  }
}

/** Send the cells of the notebook in front to a session, by a cell that stays in it. */
export function attachTo(row: IRow, actions: IActions): void {
  actions.run(`%session attach ${row.id}`);
}

/** End what a row is of, after asking. */
export async function stopRow(row: IRow, truth: Truth, actions: IActions): Promise<void> {
  const session = row.session && !row.session.ended ? row.session : null;
  if (!session && !row.cancelJob) {
    return;
  }
  const sure = session
    ? await actions.confirm(
        trans.__('Stop %1?', row.title),
        trans.__('The session ends, with its variables and what it runs.'),
        trans.__('Stop session')
      )
    : await actions.confirm(
        trans.__('Cancel %1?', row.title),
        trans.__('Its job ends; what is finished is kept.'),
        trans.__('Cancel job')
      );
  if (!sure) {
    return;
  }
  try {
    await (session ? truth.stop(session.id) : truth.cancel(row.cancelJob!));
  } catch (error) {
    actions.failed(error);
  }
}
