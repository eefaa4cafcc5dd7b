/** JSON whose long whole numbers (an Iceberg snapshot's id) stay what they are: as text, where a number cannot hold them. */

const LONG = /\d{16}/;
/** Strings are passed over; a number is taken whole. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export function parsedExactly(text: string): any {
  return JSON.parse(LONG.test(text) ? text.replace(STRING_OR_NUMBER, asText) : text);
}

function asText(found: string): string {
  return /^-?\d+$/.test(found) && !Number.isSafeInteger(Number(found)) ? `"${found}"` : found;
}
