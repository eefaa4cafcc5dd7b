/** The requests to the service, by way of the server extension. Imports nothing of JupyterLab. */

import { Fault, faultOf, unanswered } from './fault';
import { IForm } from './forms';
import { parsedExactly } from './exact';
import { IAbout, IBoard, IEnvironment, IEnvironmentDetail, IJob, IPartition, ISession } from './records';

/** How a request is made: `path` is below the server's base address. */
export interface ISend {
  (verb: string, path: string, body?: unknown): Promise<{ status: number; text: string }>;
}

/** A piece of a log by byte offset. */
export interface IPiece {
  text: string;
  next_offset: number;
  size: number;
}

export class Service {
  constructor(private readonly _send: ISend) {}

  /** What is installed; starts nothing. */
  about(): Promise<IAbout> {
    return this._ask('GET', 'nbplat/about');
  }

  /** What can be filled in; starts nothing. */
  async forms(): Promise<IForm[]> {
    return (await this._ask('GET', 'nbplat/forms')).forms;
  }

  /** The newest runs with their last jobs. */
  board(limit = 500): Promise<IBoard> {
    return this._get(`board?limit=${limit}`);
  }

  async sessions(): Promise<ISession[]> {
    return (await this._get('sessions?limit=200')).sessions;
  }

  async environments(): Promise<IEnvironment[]> {
    return (await this._get('environments')).environments;
  }

  /** What is in a built environment; `key` may be its beginning. */
  environment(key: string): Promise<IEnvironmentDetail> {
    return this._post('environments/show', { environment: key });
  }

  job(id: string): Promise<IJob> {
    return this._get(`jobs/${encodeURIComponent(id)}`);
  }

  /** Ask a job to end. */
  cancel(id: string): Promise<IJob> {
    return this._post(`jobs/${encodeURIComponent(id)}/cancel`);
  }

  /** A verb of a backfill run: pause, resume, retry, promote, … */
  act(runId: string, verb: string): Promise<any> {
    return this._post(`backfills/${encodeName(runId)}/${verb}`, {});
  }

  /** One run with its spec, plan and outputs. */
  run(kind: string, id: string): Promise<any> {
    return this._get(`runs/${kind}/${encodeName(id)}`);
  }

  /** A backfill run with the counts of its units and its jobs. */
  backfill(id: string): Promise<any> {
    return this._get(`backfills/${encodeName(id)}`);
  }

  /** How far each partition of a backfill is. */
  async partitions(id: string): Promise<IPartition[]> {
    return (await this._get(`backfills/${encodeName(id)}/partitions`)).partitions;
  }

  session(id: number): Promise<ISession> {
    return this._get(`sessions/${id}`);
  }

  /** End a session. */
  stop(id: number): Promise<unknown> {
    return this._ask('DELETE', `nbplat/api/v1/sessions/${id}`);
  }

  async sessionLog(id: number, lines = 1000): Promise<string> {
    const reply = await this._get(`sessions/${id}/log?after=-${lines}&limit=${lines}`);
    return reply.lines.join('\n');
  }

  log(jobId: string, offset: number): Promise<IPiece> {
    return this._get(`jobs/${encodeURIComponent(jobId)}/log?offset=${offset}&limit=262144`);
  }

  private _get(path: string): Promise<any> {
    return this._ask('GET', `nbplat/api/v1/${path}`);
  }

  private _post(path: string, body: unknown = {}): Promise<any> {
    return this._ask('POST', `nbplat/api/v1/${path}`, body);
  }

  private async _ask(verb: string, path: string, body?: unknown): Promise<any> {
    let reply: { status: number; text: string };
    try {
      reply = await this._send(verb, path, body);
    } catch (error) {
      throw error instanceof Fault ? error : unanswered();
    }
    if (reply.status >= 400) {
      throw faultOf(reply.status, reply.text, path === 'nbplat/about' || path === 'nbplat/forms');
    }
    try {
      return parsedExactly(reply.text);
    } catch {
      // A proxy's login page, for one.
      throw faultOf(403, '');
    }
  }
}

/** `spend_90d@3` stays readable: the service's paths take the sign. */
function encodeName(id: string): string {
  return encodeURIComponent(id).replace(/%40/g, '@');
}
