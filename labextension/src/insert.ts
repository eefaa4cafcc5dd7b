/** Cells that the panel puts into the notebook in front; nothing is hidden, what is run stands there. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { Cell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { trans } from './translation';

const LOAD = '%load_ext nbplat';

export class CellInserter {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _notebooks: INotebookTracker | null
  ) {}

  /** Put a cell below the active one; without a notebook in front its text goes to the clipboard, and that is said. */
  insert(cell: string): boolean {
    return this._insert(cell) !== null;
  }

  /** The same, and run it. */
  run(cell: string): boolean {
    const made = this._insert(cell);
    if (made) {
      const { panel, cells } = made;
      void NotebookActions.runCells(panel.content, cells, panel.sessionContext);
    }
    return made !== null;
  }

  private _insert(text: string): { panel: NotebookPanel; cells: Cell[] } | null {
    const panel = this._notebooks?.currentWidget ?? null;
    if (!panel) {
      Clipboard.copyToSystem(text);
      Notification.info(trans.__('No notebook is open: the cell is in the clipboard.'), { autoClose: 6000 });
      return null;
    }
    this._app.shell.activateById(panel.id);
    // The kernel of nbplat has loaded it; elsewhere a magic needs it first, in a cell of its own.
    const texts = text.includes(LOAD) || knowsMagics(panel) ? [text] : [LOAD, text];
    const cells = texts.map(each => {
      NotebookActions.insertBelow(panel.content);
      const cell = panel.content.activeCell!;
      cell.model.sharedModel.setSource(each);
      return cell;
    });
    NotebookActions.focusActiveCell(panel.content, { waitUntilReady: true });
    return { panel, cells };
  }
}

function knowsMagics(panel: NotebookPanel): boolean {
  const kernel = panel.sessionContext.session?.kernel?.name ?? '';
  return (
    kernel.startsWith('nbplat') ||
    panel.content.widgets.some(cell =>
      /^\s*%(re)?load_ext\s+nbplat\b/m.test(cell.model.sharedModel.getSource())
    )
  );
}
