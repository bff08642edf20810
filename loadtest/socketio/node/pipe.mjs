// What does every client here do? It is a pipe: what stands on a line of the standard input is emitted, what comes is printed.
//
// In:  {"emit": NAME, "args": […], "call": NUMBER?}. Out: {"connect": {…}}, {"refused": {…}}, {"disconnect": WHY}, {"event": NAME, "args": […]},
// {"answer": NUMBER, "args": […]}. SIO_URL, SIO_NAMESPACE, SIO_AUTH (JSON), SIO_TRANSPORTS ("websocket", "polling" or both); with
// SIO_RESUME=1 the cursor of the last event goes into `auth` when it comes back.
//
//   node pipe.mjs PACKAGE

import { createInterface } from 'node:readline'

const name = process.argv[2]
const client = await import(name)
const io = client.io ?? client.default.io ?? client.default
const auth = JSON.parse(process.env.SIO_AUTH)
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
let cursor

const who = () => (process.env.SIO_RESUME === '1' && cursor ? { ...auth, cursor } : auth)
const options = { auth: (give) => give(who()), reconnectionDelay: 100, reconnectionDelayMax: 500, forceNew: true }
const transports = process.env.SIO_TRANSPORTS.split(',')
// The order of the library is kept where both are wanted.
if (transports.length === 1) options.transports = transports
const socket = io(process.env.SIO_URL + process.env.SIO_NAMESPACE, options)

socket.on('connect', () => say({ connect: { recovered: socket.recovered ?? false, transport: socket.io.engine.transport.name } }))
socket.on('connect_error', (error) => say({ refused: { message: error.message, data: error.data } }))
socket.on('disconnect', (why) => say({ disconnect: why }))
socket.onAny((event, ...args) => {
  cursor = args.findLast?.((argument) => argument?.cursor)?.cursor ?? cursor
  say({ event, args })
})
socket.io.on('upgrade', () => {})

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { emit, args, call } = JSON.parse(line)
    if (call === undefined) socket.emit(emit, ...args)
    else socket.emit(emit, ...args, (...answer) => say({ answer: call, args: answer }))
  })
  .on('close', () => process.exit(0))
