/** Requests by JupyterLab's own means: its base address, its cross-site mark, its login. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { ISend } from './service';

export function sender(settings: ServerConnection.ISettings): ISend {
  return async (verb, path, body) => {
    const init: RequestInit = { method: verb, body: body === undefined ? undefined : JSON.stringify(body) };
    const url = URLExt.join(settings.baseUrl, path);
    const response = await ServerConnection.makeRequest(url, init, settings);
    return { status: response.status, text: await response.text() };
  };
}
