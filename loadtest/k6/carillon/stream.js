// What did an event stream say, all of it at once?
//
// k6 hands out a body when it is complete and has no stream of server-sent events. So a script brings a token that ends
// soon: the server then ends the stream, after an `error` frame that says why, and the body is everything until then.

/** The messages of a `text/event-stream` body: `{id, frame}`. */
export function messages(body) {
  const found = []
  for (const part of body.split('\n\n')) {
    const message = {}
    for (const line of part.split('\n')) {
      const colon = line.indexOf(': ')
      if (colon > 0) message[line.slice(0, colon)] = line.slice(colon + 2)
    }
    if (message.data) found.push({ id: message.id, frame: JSON.parse(message.data) })
  }
  return found
}
