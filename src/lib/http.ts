// node:http without its detour. As an ES module its exports are all read at once, among them the WebSocket client,
// which loads an HTTP client of its own: 100 ms and 5 MB for every thread that asks for a status text.
const http = process.getBuiltinModule('node:http');

export const { Agent, createServer, request, STATUS_CODES } = http;
