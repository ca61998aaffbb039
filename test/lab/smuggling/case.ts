// Words for the cases: bytes that two servers could take for different requests, each with a legal sibling that differs
// in nothing else.

export interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly sibling: string;
  /** The router passes it on, and why that is right. */
  readonly forwards?: string;
}

export const bad = (name: string, bytes: string, sibling: string): Case => ({ name, bytes, sibling });
export const odd = (name: string, bytes: string, sibling: string, forwards: string): Case => ({
  name,
  bytes,
  sibling,
  forwards,
});

export const head = (...lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
/** What an attacker hides: a server that counts wrongly answers it. */
export const hidden = head('GET /hidden HTTP/1.1', 'Host: a');
export const length = hidden.length;
export const get = (...lines: readonly string[]): string => head('GET /x HTTP/1.1', 'Host: a', ...lines);
export const post = (...lines: readonly string[]): string => head('POST /x HTTP/1.1', 'Host: a', ...lines);
export const chunk = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n`;
export const last = '0\r\n\r\n';
export const coded = (body: string): string => post('Transfer-Encoding: chunked') + body;
export const sized = (text: string, body = hidden): string => post(`Content-Length: ${text}`) + body;

export const plainGet = get('X: y');
export const plainPost = sized(String(length));
export const plainChunked = coded(chunk(hidden) + last);
