// Targets and Hosts that two readers could take for different things, for each way of making paths normal; and the few
// of them where the router differs from Envoy on purpose.
import type { PathNormalization } from '../../../src/mesh/snapshot.ts';

export interface PathCase {
  readonly target: string;
  readonly host: string;
}

const dots = `/a/b / /a/../b /a/./b /../x /../../x /a/.. /a/. /a/b/.. /a/b/../ /a/... /a/.b /a/..b /a/b.. /a/b/../../..
 /a/b/c/../../d /a/../../../../b /a. /a./b /.a /A/../b //../b /a//../b /a/..//b /a/.//b /a//.. /a//.//b //..//b
 /a/b//..//..`;
const escapedDots = `/a/%2e%2E/b /a/%2e/b /a/.%2e/b /a/%2e. /%2e%2e/x /%2e /a%2eb /a%2Eb /a/%2e%2e%2e /a/%2e%2e/%2e%2e
 /a/%2e%2 /a/%2e%`;
const slashes = '//a /a//b /a///b /a// /a//b//c///d?x//y //a/b /open//../closed/x';
const backslashes = String.raw`/a\b /a\..\b \a /\a /a\\b /a\ /a/..\b /open\..\closed\x`;
const escapedSlashes = `/a%2fb /a%2Fb /a%5cb /a%5Cb /a%2f..%2fb /a/..%2fb /a%2f%2e%2e%2fb /a/%2f/b /a%2f/b /a/%2fb /%2fa
 /a%5c..%5cb /a%5c%5cb /a%2f%5cb /a/..%5cb /a/%2e%5cb /a/.%2F /a/%2E%2E%2Fb /a%2f%2fb /a%2f%2f /a/%5c..%5c%2fb /a%5C
 /a%2f. /a%2f.. /a/%2e%2f%2e%2f/b /open%2fx /open/..%2fclosed/x`;
const twice = `/a%252fb /a%252e%252e/b /a/%252e%252e/b /a/%%32e%%32e/b /a%%32fb /a%2%66b /%%34%31 /a%%41b /a%%41 /a%%7e
 /100%%20 /%25 /%25%32%65 /%25%34%31 /a%%2f`;
const parameters = `/a;b /a;x=1/.. /a/..;/b /a/..;x/b /a/.;/b /a%3bb /a%3Bb/.. /a/..%3b/b /a/..%3Bx/b /a/.;
 /a/..;  /a/..;a;b/c /a/...;/b /a/;/b /a/;../b /a/..;%2f/b /a/..;//b /a/.;x=y/../b /open/..;/closed/x`;
const others = `/a%23b /a#b /a%3fb /a%3Fb/.. /a%3f/../b /a%01b /a%7fb /a%20b /a%0a /a%0d%0ab /a* /a,b /a=b&c /a[b] /a'b
 /a!$&'()*+,;=:@b /a~b /:a /a:b/..`;
const nul = '/a%00b /a%00/../b /a/.%00/b /..%00/b';
const letters = `/%41 /%61%62 /%7ea /%7Ea /a%7e /a%2db%5fc /a%30 /aB%4a%6A /%e4 /%E4%b8%ad /%C3%A9 /%c3%a9/.. /%ff /%80
 /cl%6fsed/x /%6fpen/x`;
const halves = '/a% /a%2 /a%zz /a%2g/.. /% /%% /%%% /%2 /a%0';
const toEscape =
  '/a<b> /a"b /a{b} /a|b /a^b /a`b /a|../b /a%7c /%21%24%26 /%3c%3e /%5b%5d /%5e /%60 /%7b%7c%7d /%40%3a';
const queries = String.raw`/a?b=../c /a/../b?c=/../d//e%2f /a//b?c//d /a%2fb?c%2fd /a/b? /a/..?x /a?x?y /? /a/./?
 /a?%2e%2e/\ /a?|<> /a/..?/../x`;
const absolutes = String.raw`http://a.test http://a.test/b/../c http://a.test//b http://a.test/b%2fc http://a.test/..
 http://a.test/b\c`;
const ways = `/open /open/x /open/../closed/x /open/%2e%2e/closed/x /closed /closed/x /CLOSED/x /closed/../open/x`;

const list = [dots, escapedDots, slashes, backslashes, escapedSlashes, twice, parameters, others, nul, letters, halves]
  .concat([toEscape, queries, absolutes, ways])
  .flatMap((text) => text.trim().split(/\s+/));
const hosts = `A.TEST a.test. a.test:80 a.test:8080 A.Test:81 a.test.:80 x.b.test X.B.TEST x.y.b.test b.test .b.test
 x.b.test. other [::1] [::1]:80 127.0.0.1`
  .trim()
  .split(/\s+/);

export const pathCases: readonly PathCase[] = [
  ...list.map((target) => ({ target, host: 'a.test' })),
  ...hosts.map((host) => ({ target: '/open/x', host })),
];

/** What a client is told, or what the upstream sees behind which route. */
export interface Difference {
  readonly target: string;
  readonly modes: readonly PathNormalization[];
  readonly ours: string;
  readonly envoy: string;
  readonly why: string;
}

const onlySlashes = 'slashes alone merge into one; Envoy leaves two';
const normal: readonly PathNormalization[] = ['base', 'merge-slashes', 'decode-and-merge-slashes'];
const merging: readonly PathNormalization[] = ['merge-slashes', 'decode-and-merge-slashes'];
const decoding: readonly PathNormalization[] = ['decode-and-merge-slashes'];

export const onlyHere: readonly Difference[] = [
  { target: '//', modes: merging, ours: 'other /', envoy: 'other //', why: onlySlashes },
  { target: '///', modes: merging, ours: 'other /', envoy: 'other //', why: onlySlashes },
  { target: '/%2f', modes: decoding, ours: 'other /', envoy: 'other //', why: onlySlashes },
  { target: '/%5c', modes: decoding, ours: 'other /', envoy: 'other //', why: onlySlashes },
  {
    target: '/a/%2e%2e;/b',
    modes: normal,
    ours: 'other /b',
    envoy: 'other /a/..;/b',
    why: 'dots with parameters count as dots, escaped or not; servers that drop parameters would go up',
  },
  {
    target: String.raw`/a/..;x\b`,
    modes: normal,
    ours: 'other /b',
    envoy: 'other /',
    why: 'a backslash ends an element wherever it stands',
  },
  {
    target: '/a/..;%00/b',
    modes: normal,
    ours: '400',
    envoy: 'other /b',
    why: 'NUL is refused wherever it stands',
  },
  {
    target: 'HTTP://A.TEST/b',
    modes: ['none', ...normal],
    ours: 'other /b',
    envoy: 'other /b at A.TEST',
    why: 'Host goes on as it came: the target must not say another, but for its case',
  },
];
