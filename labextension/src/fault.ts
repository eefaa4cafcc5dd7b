/** What is wrong, and the command that mends it. */

import { IAbout, ISaid } from './records';
import { trans } from './translation';

/** A refusal of the service, of the server extension, or of the way between. */
export class Fault extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly fix: string,
    /** Where the fault lies: with the way there (the panel cannot work) or with one request. */
    readonly scope: 'way' | 'request' = 'request'
  ) {
    super(message);
  }
}

/** Codes of the service's own way: it did not start, is of another version, does not take the token. */
const WAY = /^(service|home|runtime|store|config)\./;

/** The fault of a reply. `about` says that it came for the extension's own page. */
export function faultOf(status: number, text: string, about = false): Fault {
  const record = parsed(text);
  if (record && typeof record.code === 'string' && typeof record.fix === 'string') {
    return new Fault(record.code, record.message, record.fix, WAY.test(record.code) ? 'way' : 'request');
  }
  if (status === 401 || status === 403) {
    return new Fault(
      'jupyter.login',
      trans.__('the Jupyter server does not know you any more'),
      trans.__('log in again and reload the page'),
      'way'
    );
  }
  if (status === 404 && (about || !record)) {
    return new Fault(
      'extension.missing',
      trans.__('the server extension of nbplat does not run in this Jupyter server'),
      trans.__('%1, then restart the Jupyter server', 'jupyter server extension enable nbplat.ui.server'),
      'way'
    );
  }
  if (status >= 500) {
    return new Fault(
      'extension.failed',
      trans.__('the Jupyter server failed (HTTP %1)', status),
      trans.__("read the Jupyter server's log"),
      'way'
    );
  }
  return new Fault(
    'request.refused',
    record?.message || `HTTP ${status}`,
    trans.__('reload the page'),
    'request'
  );
}

/** The fault of a request that got no reply. */
export function unanswered(): Fault {
  return new Fault(
    'jupyter.unreachable',
    trans.__('the Jupyter server does not answer'),
    trans.__('start it again: %1', 'jupyter lab'),
    'way'
  );
}

/** What does not fit between the page, the server extension and the service; null when all is well. */
export function misfit(about: IAbout, page: string): Fault | null {
  if (about.version !== page) {
    return new Fault(
      'extension.version',
      trans.__('this page is of nbplat %1, the server extension is %2', page, about.version),
      trans.__('restart the Jupyter server and reload the page'),
      'way'
    );
  }
  const running = about.service.version;
  if (running && running !== about.version) {
    return new Fault(
      'service.version',
      trans.__('the running service is nbplat %1, installed is %2', running, about.version),
      'nbplat service stop',
      'way'
    );
  }
  return null;
}

function parsed(text: string): (ISaid & { message: string }) | null {
  try {
    const record = JSON.parse(text);
    return record && typeof record === 'object' ? record : null;
  } catch {
    return null;
  }
}
