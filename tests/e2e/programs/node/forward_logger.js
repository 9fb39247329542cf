// Logs COUNT lines over the forward protocol with acknowledgements, in one of its modes:
// PORT MODE COUNT [CA [KEY USER PASSWORD]]; an empty CA is no TLS.
const fs = require('fs')
const { FluentClient } = require('@fluent-org/logger')

const [port, eventMode, count, ca, sharedKey, username, password] = process.argv.slice(2)
const client = new FluentClient('edge', {
  eventMode,
  milliseconds: true,
  ack: { ackTimeout: 30000 },
  flushInterval: 5,
  security: sharedKey && { clientHostname: 'edge-1', sharedKey, username, password },
  socket: {
    host: '127.0.0.1',
    port: Number(port),
    timeout: 60000,
    reconnect: { minDelay: 100, maxDelay: 200 },
    tls: ca ? { ca: fs.readFileSync(ca), host: '127.0.0.1' } : undefined
  }
})
client.socketOn('error', error => {
  console.log(String(error))
  if (error.name === 'AuthError') process.exit(1)
})

async function main () {
  const sent = []
  for (let number = 0; number < Number(count); number++) {
    sent.push(client.emit(eventMode, { message: `${eventMode} ${number} ä` }))
    if (number % 100 === 99) await new Promise(resolve => setTimeout(resolve, 10))
  }
  await Promise.all(sent)
  console.log('acknowledged')
  await client.disconnect()
  process.exit(0)
}

main()
