/** Lumino's frames around the views: they look while they are seen, and stop when they are not. */

import { ReactWidget } from '@jupyterlab/ui-components';
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';
import * as React from 'react';
import { IActions } from './actions';
import { Board } from './board';
import { EnvironmentView } from './environment_view';
import { nbplatIcon } from './icon';
import { JobView, pictureHolds, unsettled } from './job_view';
import { LogView } from './log_view';
import { IPlace } from './place';
import { ISnapshot, JOB_MIME } from './records';
import { SectionId } from './rows';
import { RunView } from './run_view';
import { SessionView } from './session_view';
import { trans } from './translation';
import { Truth, Watcher } from './truth';

/** Looks while it is visible. */
abstract class Looking extends ReactWidget {
  constructor(
    protected readonly truth: Truth,
    private readonly _who: Watcher
  ) {
    super();
    this.addClass('nbp-widget');
  }

  /** Whether there is anything to look for. */
  protected get curious(): boolean {
    return true;
  }

  protected settle(): void {
    const wanted = this.isAttached && this.isVisible && !this.isDisposed && this.curious;
    if (wanted && !this._stop) {
      this._stop = this.truth.watch(this._who);
    } else if (!wanted) {
      this._stop?.();
      this._stop = null;
    }
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.settle();
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.settle();
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.settle();
  }

  protected onBeforeDetach(msg: Message): void {
    this._stop?.();
    this._stop = null;
    super.onBeforeDetach(msg);
  }

  dispose(): void {
    this._stop?.();
    this._stop = null;
    super.dispose();
  }

  private _stop: (() => void) | null = null;
}

/** The left panel. */
export class BoardPanel extends Looking {
  constructor(
    truth: Truth,
    private readonly _actions: IActions
  ) {
    super(truth, 'panel');
    this.id = 'nbplat-board';
    this.title.icon = nbplatIcon;
    this.title.caption = trans.__('nbplat: sessions, backfills, training, environments, sequences');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('nbplat'));
  }

  render(): JSX.Element {
    return (
      <Board
        truth={this.truth}
        actions={this._actions}
        form={this._form}
        setForm={section => this.fill(section)}
      />
    );
  }

  /** Show a section's form; null goes back to the sections. */
  fill(section: SectionId | null): void {
    this._form = section;
    this.update();
  }

  private _form: SectionId | null = null;
}

export class PlaceView extends Looking {
  constructor(
    truth: Truth,
    readonly place: IPlace,
    private readonly _actions: IActions
  ) {
    super(truth, 'panel');
    this.addClass('nbp-page');
    this._readLog = offset => truth.service.log(place.id, offset);
  }

  render(): JSX.Element {
    const { what, kind, id, title } = this.place;
    if (what === 'run') {
      return <RunView truth={this.truth} kind={kind ?? 'backfill'} id={id} actions={this._actions} />;
    }
    if (what === 'environment') {
      return <EnvironmentView truth={this.truth} id={id} actions={this._actions} />;
    }
    if (what === 'session') {
      return <SessionView truth={this.truth} id={Number(id)} actions={this._actions} />;
    }
    return (
      <div className="nbp-view">
        <h2>{title ? trans.__('Log of %1 (%2)', title, id) : trans.__('Log of job %1', id)}</h2>
        <LogView read={this._readLog} live={this.truth.jobIsLive(id)} fileName={`${title ?? 'job'}-${id}`} />
      </div>
    );
  }

  private readonly _readLog: (offset: number) => Promise<any>;
}

/** The live part of a cell's output. */
class JobLine extends Looking {
  constructor(
    truth: Truth,
    private readonly _pictured: boolean,
    private readonly _actions: IActions
  ) {
    super(truth, 'cell');
  }

  set snapshot(value: ISnapshot) {
    this._snapshot = value;
    // What is known may be older than what the cell says now.
    this._looked = this.truth.looks;
    this.settle();
    this.update();
  }

  render(): JSX.Element {
    if (!this._snapshot) {
      return <></>;
    }
    return (
      <JobView
        truth={this.truth}
        snapshot={this._snapshot}
        pictured={this._pictured}
        actions={this._actions}
      />
    );
  }

  /** Look again: the truth has changed. */
  heard(): void {
    this.settle();
  }

  protected get curious(): boolean {
    return (
      this._snapshot !== null && (this.truth.looks === this._looked || unsettled(this.truth, this._snapshot))
    );
  }

  private _looked = 0;

  private _snapshot: ISnapshot | null = null;
}

/** The output of a cell that shows a run, of the notebooks that are open; by the run's id. */
const SEEN = new Map<string, JobOutput>();

export function outputOf(runId: string): Widget | null {
  return SEEN.get(runId) ?? null;
}

/** Between two looks for an output that is being drawn, and how often. */
const SEEN_EVERY_MS = 200;
const SEEN_TRIES = 50;

/** The same, once it is drawn; null where the notebook that was opened shows no such run. */
export async function outputSeen(runId: string): Promise<Widget | null> {
  for (let tries = 0; tries < SEEN_TRIES && !SEEN.has(runId); tries++) {
    await new Promise(done => window.setTimeout(done, SEEN_EVERY_MS));
  }
  return outputOf(runId);
}

/**
 * Draws `application/vnd.nbplat.job.v1+json`: the job as the service knows it, and below it what the cell has drawn
 * itself (tables, pictures) once that is the last word.
 */
export class JobOutput extends Panel implements IRenderMime.IRenderer {
  constructor(
    private readonly _truth: Truth,
    private readonly _rendermime: IRenderMimeRegistry,
    actions: IActions
  ) {
    super();
    this.addClass('nbp-output');
    this._line = new JobLine(_truth, true, actions);
    this.addWidget(this._line);
    this._unsubscribe = _truth.subscribe(() => {
      this._line.heard();
      this._settle();
    });
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._snapshot = model.data[JOB_MIME] as unknown as ISnapshot;
    SEEN.set(this._snapshot.run_id, this);
    this._line.snapshot = this._snapshot;
    this._picture?.dispose();
    this._picture = null;
    if (model.data['text/html']) {
      const picture = this._rendermime.createRenderer('text/html');
      this._picture = picture;
      this.addWidget(picture);
      await picture.renderModel(model);
    }
    this._settle();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._unsubscribe();
    if (this._snapshot && SEEN.get(this._snapshot.run_id) === this) {
      SEEN.delete(this._snapshot.run_id);
    }
    super.dispose();
  }

  private _settle(): void {
    if (this._picture && this._snapshot) {
      this._picture.setHidden(!pictureHolds(this._truth, this._snapshot));
    }
  }

  private readonly _line: JobLine;
  private readonly _unsubscribe: () => void;
  private _picture: IRenderMime.IRenderer | null = null;
  private _snapshot: ISnapshot | null = null;
}
