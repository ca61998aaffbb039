// Who is asked, for what, in which protocol, and how much of it there is.
import { type Case, bad, get, head, hidden, odd, plainGet } from './case.ts';

const sizes: readonly Case[] = [
  bad('a head of 70 KB in one field', get(`X: ${'y'.repeat(70_000)}`), get(`X: ${'y'.repeat(3000)}`)),
  bad('a head of 70 KB in fields', get(...Array.from({ length: 80 }, (_, i) => `X${i}: ${'y'.repeat(900)}`)), plainGet),
  bad(
    'more fields than anyone has',
    get(...Array.from({ length: 2000 }, (_, i) => `X${i}: y`)),
    get(...Array.from({ length: 60 }, (_, i) => `X${i}: y`)),
  ),
  bad(
    'a target of 40 KB',
    head(`GET /${'x'.repeat(40_000)} HTTP/1.1`, 'Host: a'),
    head(`GET /${'x'.repeat(3000)} HTTP/1.1`, 'Host: a'),
  ),
  bad(
    'a method of 40 letters',
    head(`${'G'.repeat(40)} /x HTTP/1.1`, 'Host: a'),
    head('PROPFIND /x HTTP/1.1', 'Host: a'),
  ),
];

const line = (text: string, ...fields: readonly string[]): string => head(`${text} HTTP/1.1`, ...fields);
const here = (text: string): string => line(text, 'Host: a');

const methods: readonly Case[] = [
  bad('a method with a colon', here('GET: /x'), get()),
  bad('NUL in the method', here('GE\0T /x'), get()),
  bad('a byte above 127 in the method', here('G\xcbT /x'), get()),
  bad('no method', here(' /x'), get()),
  bad('a quote in the method', here('"GET" /x'), get()),
];

const targets: readonly Case[] = [
  bad('a target without a slash', here('GET x'), get()),
  bad('an authority for a target', here('GET a:80'), get()),
  bad('an asterisk for GET', here('GET *'), get()),
  bad('a fragment in the target', here('GET /x#y'), here('GET /x%23y')),
  bad('NUL in the target', here('GET /x\0y'), here('GET /x%01y')),
  bad('an escaped NUL in the target', here('GET /x%00y'), here('GET /x%01y')),
  bad('a byte above 127 in the target', here('GET /\xe4'), here('GET /%E4')),
  bad('a tab in the target', here('GET /x\ty'), here('GET /x%09y')),
  bad('DEL in the target', here('GET /x\x7fy'), here('GET /x~y')),
  bad('a query for a target', here('GET ?x'), here('GET /?x')),
];

const connects: readonly Case[] = [
  bad('CONNECT to another authority', here('CONNECT b:80'), get()),
  bad('CONNECT to Host', here('CONNECT a:80') + hidden, get() + hidden),
  bad('CONNECT with a path', here('CONNECT /x'), get()),
  bad('CONNECT with a length', line('CONNECT a:80', 'Host: a', `Content-Length: ${hidden.length}`) + hidden, get()),
];

const absolutes: readonly Case[] = [
  bad('an absolute target with another Host', line('GET http://b/x', 'Host: a'), here('GET http://a/x')),
  bad('an absolute target with another port', line('GET http://a:81/x', 'Host: a'), here('GET http://a/x')),
  bad('an absolute target without Host', line('GET http://a/x', 'X: y'), here('GET http://a/x')),
  bad('a user in an absolute target', line('GET http://b@a/x', 'Host: a'), here('GET HTTP://a/x')),
  bad('an absolute target of another scheme', here('GET gopher://a/x'), here('GET http://a/x')),
  bad('an absolute target without an authority', here('GET http:///x'), here('GET http://a/x')),
  bad('an absolute target with a backslash', here(String.raw`GET http:\\a\x`), here('GET http://a/x')),
  bad('an authority that ends in a query', here('GET http://a?@b/x'), here('GET http://a/x?@b')),
];

const hosts: readonly Case[] = [
  bad('two Hosts', line('GET /x', 'Host: a', 'Host: b'), get()),
  bad('the same Host twice', line('GET /x', 'Host: a', 'Host: a'), get()),
  bad('a Host and a folded Host', line('GET /x', 'Host: a', ' Host: b'), get()),
  bad('no Host', line('GET /x', 'X: y'), plainGet),
  bad('an empty Host', line('GET /x', 'Host:'), get()),
];

const authorities: readonly Case[] = [
  bad('a list of Hosts', line('GET /x', 'Host: a, b'), get()),
  bad('a Host with a path', line('GET /x', 'Host: a/b'), get()),
  bad('a Host with a query', line('GET /x', 'Host: a?b'), get()),
  bad('a Host with a fragment', line('GET /x', 'Host: a#b'), get()),
  bad('a Host with a user', line('GET /x', 'Host: b@a'), get()),
  bad('a Host with two ports', line('GET /x', 'Host: a:80:81'), line('GET /x', 'Host: a:80')),
  bad('a Host with a port that is no number', line('GET /x', 'Host: a:x'), line('GET /x', 'Host: a:80')),
  bad('a Host with a space', line('GET /x', 'Host: a b'), get()),
  bad('NUL in Host', line('GET /x', 'Host: a\0b'), line('GET /x', 'Host: ab')),
  bad('a byte above 127 in Host', line('GET /x', 'Host: \xe4'), get()),
  bad('a backslash in Host', line('GET /x', String.raw`Host: a\b`), get()),
  bad('a Host with an open bracket', line('GET /x', 'Host: [::1'), line('GET /x', 'Host: [::1]')),
  odd('a Host in capitals', line('GET /x', 'HOST: A'), get(), 'names of hosts have no case'),
];

const versions: readonly Case[] = [
  ['HTTP/1.2', 'HTTP/1.2'],
  ['HTTP/2.0', 'HTTP/2.0'],
  ['HTTP/0.9', 'HTTP/0.9'],
  ['a version of two digits', 'HTTP/1.10'],
  ['a version with a zero before it', 'HTTP/01.1'],
  ['a version with a comma', 'HTTP/1,1'],
  ['a version in small letters', 'http/1.1'],
  ['no version number', 'HTTP/'],
  ['another protocol', 'ICAP/1.0'],
].map(([name = '', version = '']) => bad(name, head(`GET /x ${version}`, 'Host: a'), get()));

const noVersion: readonly Case[] = [
  bad('no version', `GET /x\r\n${hidden}`, get() + hidden),
  bad('no version, with fields', head('GET /x', 'Host: a') + hidden, get() + hidden),
  bad('a blank for a version', head('GET /x ', 'Host: a') + hidden, get() + hidden),
];

const prefaces: readonly Case[] = [
  bad('half of the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\n${hidden}`, get() + hidden),
  bad('a ClientHello', '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03', get()),
  bad('a PROXY line', `PROXY TCP4 10.0.0.1 10.0.0.2 1 80\r\n${get()}`, get()),
];

export const requests: Readonly<Record<string, readonly Case[]>> = {
  'more than anyone sends': sizes,
  methods,
  targets,
  CONNECT: connects,
  'absolute targets': absolutes,
  'several Hosts, or none': hosts,
  'Hosts that are no authority': authorities,
  versions,
  'HTTP/0.9': noVersion,
  'other protocols': prefaces,
};
