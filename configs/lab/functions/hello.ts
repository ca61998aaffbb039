// A function of the lab: answers with what it was asked.
export default {
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const name = url.searchParams.get('name') ?? 'world';
    return Response.json({ hello: name, path: url.pathname, method: request.method });
  },
};
