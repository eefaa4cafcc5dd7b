/** What rows and cells can do beyond asking the service; JupyterLab does it. */

import { IRow } from './rows';

export interface IActions {
  /** Put a cell below the active one of the notebook in front; false when there is none. */
  insert(cell: string): boolean;
  openRun(kind: string, id: string): void;
  openJobLog(jobId: string, title: string): void;
  openSession(id: number, title: string): void;
  copy(text: string): void;
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
  }
}
