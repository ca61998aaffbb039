// Answers with a greeting; `env` is what the document gives the function.
interface Env {
  readonly GREETING?: string;
}

export default {
  fetch(request: Request, env: Env): Response {
    const name = new URL(request.url).searchParams.get('name') ?? 'world';
    console.log(request.method, request.url);
    return Response.json({ message: `${env.GREETING ?? 'hi'}, ${name}` });
  },
};
